"""The dialect. The client is Twilio's server: it sends media, and there is no message by which it could be told words.

Results go to whoever watches the call and to the webhook (streaming/transport/calls.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from streaming.protocol.credentials import QUERY_NAMES
from streaming.protocol.dialect import CallInfo, Close, Handshake, Outcome, Payload
from streaming.protocol.dialects.parameters import Parameters
from streaming.protocol.dialects.telephony import call_start, key_signal
from streaming.protocol.dialects.twilio.frames import Dtmf, Mark, Media, Started, Stopped, read
from streaming.protocol.dialects.twilio.tracks import Tracks
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Marker, ServerMessage, Start, Stop

TRACKS: Final = ("inbound", "outbound")
"""Of a stream that does not name its tracks (Telnyx)."""
TOKEN: Final = "token"
"""The parameter with an API key: the address may have none, since Twilio takes no query."""


class Twilio:
    start: Start | None = None
    source = None

    def __init__(self, handshake: Handshake, allows: Callable[[str], bool] | None = None) -> None:
        """
        Args:
            allows: whether a key is good, where the request has shown none; None: whoever it is has been let in.

        Raises:
            ProtocolError: `unsupported`.
        """
        query = Parameters(handshake.query)
        asked = query.one_of("tracks", ("inbound", "outbound", "both"))
        self._unnamed: tuple[str, ...] = TRACKS if asked in (None, "both") else (asked,)
        self._query = {name: text for name, _ in handshake.query if (text := query.text(name)) is not None}
        self._allows = allows
        self._id = handshake.id
        self._max_message_bytes = handshake.max_message_bytes
        self._start_timeout_s = handshake.start_timeout_s
        self._idle_timeout_s = handshake.idle_timeout_s
        self._last_heard = handshake.now
        self._names: tuple[str, ...] = ()
        self._tracks: Tracks | None = None
        """None: not started."""
        self._closing = False
        self.call: CallInfo | None = None

    # -- from the client --------------------------------------------------------------------------------------------

    def opened(self, now: float) -> list[Outcome]:
        return []

    @property
    def deadline(self) -> float | None:
        if self._closing:
            return None
        return self._last_heard + (self._start_timeout_s if self._tracks is None else self._idle_timeout_s)

    def timeout(self, now: float) -> list[Outcome]:
        if self._tracks is None:
            raise ProtocolError("start_timeout", f"no `start` within {self._start_timeout_s:g} s")
        raise ProtocolError("idle_timeout", f"no message for {self._idle_timeout_s:g} s")

    def receive(self, payload: Payload, now: float) -> list[Outcome]:
        if self._closing:
            return []
        if len(payload) > self._max_message_bytes:
            raise ProtocolError("too_large", f"a message may have at most {self._max_message_bytes} bytes")
        if isinstance(payload, bytes):
            raise ProtocolError("bad_message", "binary message; media comes as text")
        frame = read(payload)
        if frame is None:
            return []
        if isinstance(frame, Started):
            self._last_heard = now
            return [self._start(frame, now)]
        if self._tracks is None:
            raise ProtocolError("start_expected", "the first event must be `start`")
        self._last_heard = now
        match frame:
            case Media(track=track):
                return [*self._tracks.put(self._channel(track), frame.chunk, frame.timestamp_ms, frame.data, now)]
            case Dtmf(track=track, digit=digit):
                channel = self._channel(track)
                key = key_signal(digit, channel, self._tracks.position_ms(channel))
                return [key] if key is not None else []
            case Mark(name=name):
                return [Marker(id=name)]
            case Stopped():
                self._closing = True
                return [*self._tracks.flush(), Stop()]

    def _start(self, started: Started, now: float) -> Start:
        if self._tracks is not None:
            raise ProtocolError("already_started", "`start` came twice")
        parameters = self._query | started.parameters
        token = parameters.get(TOKEN, "")
        parameters = {name: text for name, text in parameters.items() if name not in QUERY_NAMES}
        if self._allows is not None and not self._allows(token):
            raise ProtocolError("unauthorized", "show an API key, as the parameter `token`")
        self._names = started.tracks or self._unnamed
        audio = msgspec.structs.replace(started.audio, channels=len(self._names))
        start = call_start(audio, parameters, labels=self._names)
        self._tracks = Tracks(audio, now)
        self.call = CallInfo(
            protocol="twilio",
            id=started.call or started.stream or self._id,
            stream=started.stream,
            parameters=parameters,
        )
        return start

    def _channel(self, track: str) -> int:
        if track not in self._names:
            raise ProtocolError("unsupported", f"track: must be one of {', '.join(self._names)}")
        return self._names.index(track)

    # -- from the session -------------------------------------------------------------------------------------------

    def say(self, message: ServerMessage) -> list[Payload]:
        return []

    def goodbye(self, code: int, reason: str) -> Close:
        return Close(1008 if code >= 4000 else code, reason)
