"""The async client: `TympanClient` opens sessions, which send audio and yield events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

from tympan_client.address import DEFAULT_URL, stream_url
from tympan_client.audio import Source, declare_wav
from tympan_client.events import Event
from tympan_client.options import ClientOptions, Codec
from tympan_client.protocol import ClientProtocol
from tympan_client.session import Session


class TympanClient:
    """Where the server is and what its sessions ask for by default.

    Args:
        url: `host:port`, or a ws, wss, http or https URL.
        codec: msgpack is smaller; JSON can be read with the eye.
        options: fields of `SessionOptions`: audio, language, task, interim, endpointing, events; and of
            `ConnectionOptions`: reconnect, resume_window_s, connect_window_s, heartbeat_s, on_overflow.
    """

    def __init__(self, url: str = DEFAULT_URL, *, codec: Codec = "msgpack", **options: Any) -> None:
        self.url = stream_url(url)
        self._codec: Codec = codec
        self.options = ClientOptions().changed(options)

    def connect(self, **options: Any) -> AbstractAsyncContextManager[Session]:
        """A session, open and ready. Leaving the block closes the connection; for the last finals, `stop` and read on.

        Raises:
            TympanError: `unreachable`, `not_tympan`, or the server's refusal.
        """
        return self._open(self.options.changed(options))

    async def stream(self, source: Source, *, realtime: bool = False, **options: Any) -> AsyncGenerator[Event, None]:
        """One session for one source: sends it, stops, and yields every event up to the summary.

        Args:
            source: a WAV file's path (its format is declared to the server), bytes or an array, or an iterable,
                sync or async, of bytes or arrays. A sync iterator is read in a thread, so it may block. For a
                microphone, give `on_overflow="drop"`.
            realtime: send at the speed at which it was spoken.
        """
        merged = self.options.changed(options)
        merged = replace(merged, session=declare_wav(source, merged.session))
        async with self._open(merged) as session, aclosing(session.stream(source, realtime=realtime)) as events:
            async for event in events:
                yield event

    @asynccontextmanager
    async def _open(self, options: ClientOptions) -> AsyncIterator[Session]:
        session = Session(self.url, ClientProtocol(options.session, self._codec), options.connection)
        try:
            await session.open()
            yield session
        finally:
            await session.close()
