"""The client's side of the native protocol, version 1, without sockets and without a clock.

The shell's order of calls: send `start()`; then for each message that comes, `receive` it and hand the event on.
Audio: `slices(data)`, and for each of them wait until `can_send`, then send what `audio` gives. After `stop()` go on
receiving until `finished`. The states are opening (until `ready`), streaming, stopping (after `stop`) and finished.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import msgpack  # type: ignore[import-untyped]

from tympan_client.errors import TympanError
from tympan_client.events import Ack, ErrorEvent, Event, Ready, Summary, parse_event
from tympan_client.options import Codec, Endpointing, InterimPolicy, SessionOptions, settings, without_none
from tympan_client.ring import UnacknowledgedAudio

SUBPROTOCOLS: dict[Codec, str] = {"msgpack": "tympan.v1.msgpack", "json": "tympan.v1.json"}
ROUTE = "/v1/stream"
UNACKNOWLEDGED_S = 30.0
"""How much audio may be under way: the server acknowledges each half second."""
SLICE_S = 1.0
"""Longer audio is cut into messages of this length, so that a control message never waits behind much of it."""
ENVELOPE_BYTES = 256
"""Upper bound of what a message adds to its audio."""

Payload = bytes | str
State = Literal["opening", "streaming", "stopping", "finished"]


class ClientProtocol:
    def __init__(
        self, options: SessionOptions, codec: Codec = "msgpack", *, unacknowledged_s: float = UNACKNOWLEDGED_S
    ) -> None:
        rate = options.audio.sample_rate
        self.options = options
        self.state: State = "opening"
        self.ready: Ready | None = None
        self.last_seq = 0
        self.next_sample = 0
        self.unacknowledged = UnacknowledgedAudio(round(unacknowledged_s * rate))
        self._codec = codec
        self._slice_samples = max(1, min(round(SLICE_S * rate), self.unacknowledged.capacity_samples))

    def start(self) -> Payload:
        return self._encode(self.options.start_message())

    def receive(self, payload: Payload) -> Event:
        """Raises TympanError: the server's fatal error, or `bad_server_message`."""
        event = parse_event(self._decode(payload))
        self.last_seq = max(self.last_seq, event.seq)
        match event:
            case Ready():
                self._open(event)
            case Ack():
                self.unacknowledged.acknowledge(event.sample)
            case Summary():
                self.state = "finished"
            case ErrorEvent(fatal=True):
                self.state = "finished"
                raise event.as_exception()
        return event

    def slices(self, data: bytes) -> Iterator[bytes]:
        """`data` cut into pieces that each fit into one message.

        Raises:
            TympanError: `bad_audio` where it is not a whole number of samples of every channel.
        """
        frame_bytes = self.options.audio.bytes_per_frame
        if len(data) % frame_bytes:
            raise TympanError(
                "bad_audio", f"{len(data)} bytes are not a whole number of {frame_bytes}-byte sample frames"
            )
        step = self._slice_samples * frame_bytes
        return (data[at : at + step] for at in range(0, len(data), step))

    def can_send(self, data: bytes) -> bool:
        """False: wait for an ack, then ask again."""
        return self.unacknowledged.fits(len(data) // self.options.audio.bytes_per_frame)

    def audio(self, data: bytes) -> Payload:
        """One of `slices`, placed next on the sample clock."""
        self._require_streaming()
        first, samples = self.next_sample, len(data) // self.options.audio.bytes_per_frame
        self.unacknowledged.append(first, samples, data)
        self.next_sample = first + samples
        if self._codec == "json":
            return data  # a binary message continues the clock
        return self._encode({"type": "audio", "first_sample": first, "data": data})

    def marker(self, marker_id: str) -> Payload:
        self._require_streaming()
        return self._encode({"type": "marker", "id": marker_id})

    def finalize(self) -> Payload:
        self._require_streaming()
        return self._encode({"type": "finalize"})

    def configure(
        self,
        *,
        interim: InterimPolicy | None = None,
        endpointing: Endpointing | None = None,
        events: bool | None = None,
    ) -> Payload:
        self._require_streaming()
        changes = {"interim": interim, "endpointing": settings(endpointing), "events": events}
        return self._encode({"type": "configure", **without_none(changes)})

    def stop(self) -> Payload:
        self._require_streaming()
        self.state = "stopping"
        return self._encode({"type": "stop"})

    def _open(self, ready: Ready) -> None:
        self.ready = ready
        if self.state == "opening":
            self.state = "streaming"
        room = (ready.max_message_bytes - ENVELOPE_BYTES) // self.options.audio.bytes_per_frame
        self._slice_samples = max(1, min(self._slice_samples, room))

    def _require_streaming(self) -> None:
        if self.state != "streaming":
            raise TympanError("bad_use", f"nothing can be sent: the session is {self.state}")

    def _encode(self, message: dict[str, Any]) -> Payload:
        if self._codec == "json":
            return json.dumps(message)
        packed: bytes = msgpack.packb(message)
        return packed

    def _decode(self, payload: Payload) -> object:
        try:
            return json.loads(payload) if isinstance(payload, str) else msgpack.unpackb(payload)
        except (ValueError, msgpack.UnpackException) as error:
            raise TympanError("bad_server_message", f"the server sent an unreadable message: {error}") from None
