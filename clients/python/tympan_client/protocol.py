"""The client's side of the native protocol, version 1, without sockets and without a clock.

The shell's order of calls, for each connection: send `start()`; then for each message that comes, `receive` it and
hand on the event, if there is one; and whenever something was received or taken, send what `next_payload` gives until
it gives None. When the connection is lost, `lost()`, and begin anew with another one.
Meanwhile the application's audio and commands are taken, with or without a connection: `slices(data)`, for each of
them wait until `has_room`, then `audio`. After `stop` go on receiving until `finished`.

The states are opening (until `ready`), streaming, stopping (after `stop`), reconnecting and finished.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgpack  # type: ignore[import-untyped]

from tympan_client.asks import OpenAsks
from tympan_client.commands import Command, UnacknowledgedCommands
from tympan_client.errors import TympanError
from tympan_client.events import Ack, Answer, ErrorEvent, Event, GoAway, Load, Ready, Reconnected, Summary, parse_event
from tympan_client.novelty import Novelty
from tympan_client.options import (
    Codec,
    Endpointing,
    InterimPolicy,
    Overflow,
    SessionOptions,
    Tasks,
    settings,
    task_fields,
    without_none,
)
from tympan_client.ring import UnacknowledgedAudio

SUBPROTOCOLS: dict[Codec, str] = {"msgpack": "tympan.v1.msgpack", "json": "tympan.v1.json"}
ROUTE = "/v1/stream"
UNACKNOWLEDGED_S = 30.0
"""How much audio is kept for a resume, and may be under way: the server acknowledges each half second."""
SLICE_S = 1.0
"""Longer audio is cut into messages of this length, so that a control message never waits behind much of it."""
ENVELOPE_BYTES = 256
"""Upper bound of what a message adds to its audio."""

Payload = bytes | str
State = Literal["opening", "streaming", "stopping", "reconnecting", "finished"]


class ClientProtocol:
    def __init__(
        self, options: SessionOptions, codec: Codec = "msgpack", *, unacknowledged_s: float = UNACKNOWLEDGED_S
    ) -> None:
        rate = options.audio.sample_rate
        self.options = options
        self.codec = codec
        self.ready: Ready | None = None
        """What the server said last when the session was opened or resumed."""
        self.next_sample = 0
        self.unacknowledged = UnacknowledgedAudio(round(unacknowledged_s * rate))
        self.commands = UnacknowledgedCommands()
        self.attempts = 0
        """Number of the next one, or the one under way, since the connection was lost."""
        self.asks = OpenAsks()
        self._novelty = Novelty()
        self._token: str | None = None
        self._durable = True
        self._connected = self._stopped = self._finished = False
        self._slice_samples = max(1, min(round(SLICE_S * rate), self.unacknowledged.capacity_samples))
        # On this connection:
        self._sent_samples = 0  # audio before this one needs no sending, or was sent
        self._sent_commands = 0
        self._server_sample = 0  # where the server takes a raw message to go on

    @property
    def state(self) -> State:
        if self._finished:
            return "finished"
        if not self._connected:
            return "opening" if self.ready is None else "reconnecting"
        return "stopping" if self._stopped else "streaming"

    @property
    def can_resume(self) -> bool:
        return self._token is not None and not self._finished

    @property
    def last_seq(self) -> int:
        return self._novelty.last_seq

    def start(self) -> Payload:
        """Opens the session, or resumes it."""
        message = self.options.start_message()
        if self.ready is not None:
            message["resume"] = {"session": self.ready.session, "token": self._token, "last_seq": self.last_seq}
        return self._encode(message)

    def receive(self, payload: Payload) -> Event | None:
        """What the application is told; None: it knows that already.

        Raises:
            TympanError: the server's fatal error, or `bad_server_message`.
        """
        event = parse_event(self._decode(payload))
        match event:
            case Ready():
                return self._open(event)
            case Ack():
                self.unacknowledged.acknowledge(event.sample)
                self.commands.acknowledge(event.commands)
            case Load():
                self._durable = event.durable
            case ErrorEvent(fatal=True):
                self._connected = False
                self._finished = not event.retryable or (self.ready is not None and not self.can_resume)
                raise event.as_exception()
            case Answer():
                self.asks.heard(event)
            case GoAway():
                pass
            case _:
                if not self._novelty.is_new(event):
                    return None
                if isinstance(event, Summary):
                    self._finished = True
                    self.asks.over()
        return event

    def lost(self) -> None:
        """The connection is gone, or could not be opened. What was taken and not acknowledged is kept."""
        self._connected = False
        self.attempts += 1
        self.asks.lost()

    def slices(self, data: bytes) -> Iterator[bytes]:
        """`data` cut into pieces that can be kept.

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

    def has_room(self, data: bytes, overflow: Overflow = "wait") -> bool:
        """False: wait for an ack, or for another connection, then ask again.

        Where the server cannot store audio it sends no acks: then what was sent needs no room any more.
        """
        samples = len(data) // self.options.audio.bytes_per_frame
        if self.unacknowledged.fits(samples):
            return True
        if not self._connected:
            return overflow == "drop"
        chunk = self.unacknowledged.chunk_at(self._sent_samples)
        unsent = 0 if chunk is None else self.next_sample - chunk[0]
        return not self._durable and unsent + samples <= self.unacknowledged.capacity_samples

    def audio(self, data: bytes) -> None:
        """Takes one of `slices`, placed next on the sample clock. Where it has no room the oldest audio goes."""
        self._require_open()
        samples = len(data) // self.options.audio.bytes_per_frame
        while not self.unacknowledged.fits(samples):
            self.unacknowledged.drop_oldest()
        self.unacknowledged.append(samples, data)
        self.next_sample += samples

    def marker(self, marker_id: str) -> None:
        self._command({"type": "marker", "id": marker_id})
        self._novelty.expect_marker(marker_id)

    def finalize(self) -> None:
        self._command({"type": "finalize"})

    def configure(
        self,
        *,
        interim: InterimPolicy | None = None,
        endpointing: Endpointing | None = None,
        events: bool | None = None,
        task: Tasks | None = None,
    ) -> None:
        changes = {
            "interim": interim,
            "endpointing": settings(endpointing),
            "events": events,
            "task": task_fields(task, self.options.language if task is not None else None),
        }
        self._command({"type": "configure", **without_none(changes)})

    def ask(
        self,
        ask_id: str,
        messages: Sequence[Mapping[str, str]],
        *,
        last_s: float | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> None:
        """Puts a question; the pieces of its answer come as `Answer`."""
        self._require_open()
        drawing = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
        message = {"type": "ask", "id": ask_id, "messages": [dict(each) for each in messages], "last_s": last_s}
        self.asks.put(ask_id, self.next_sample, self._encode(without_none(message | drawing)))

    def stop(self) -> None:
        self._command({"type": "stop"})
        self._stopped = True

    def next_payload(self) -> Payload | None:
        """What is to be sent now on this connection: audio, commands and questions in the order in which they were
        taken."""
        if not self._connected:
            return None
        chunk = self.unacknowledged.chunk_at(self._sent_samples)
        number = max(self._sent_commands, self.commands.first)
        command = self.commands.numbered(number)
        if command and (chunk is None or command.place <= max(self._sent_samples, chunk[0])):
            self._sent_commands = number + 1
            return command.payload
        sent_until = self.next_sample if chunk is None else max(self._sent_samples, chunk[0])
        if not self._stopped and (question := self.asks.next_payload(sent_until)) is not None:
            return question
        return None if chunk is None else self._audio_payload(*chunk)

    def _audio_payload(self, first: int, end: int, data: bytes) -> Payload:
        """What was not sent of the chunk, or as much of it as one message may carry."""
        assert self.ready is not None
        frame_bytes = self.options.audio.bytes_per_frame
        begin = max(first, self._sent_samples)
        raw = self.codec == "json" and begin == self._server_sample
        room = self.ready.max_message_bytes - ENVELOPE_BYTES
        if self.codec == "json" and not raw:
            room = room * 3 // 4  # base64
        end = min(end, begin + max(1, room // frame_bytes))
        piece = data[(begin - first) * frame_bytes : (end - first) * frame_bytes]
        self._sent_samples = self._server_sample = end
        if raw:
            return piece
        content = base64.b64encode(piece).decode() if self.codec == "json" else piece
        return self._encode({"type": "audio", "first_sample": begin, "data": content})

    def _open(self, ready: Ready) -> Ready | Reconnected:
        resuming = self.ready is not None
        if ready.resumed != resuming:
            raise TympanError("bad_server_message", "the server did not say whether this is the session to be resumed")
        self.ready = ready
        self._token = ready.resume_token or self._token
        self._connected = self._durable = True
        self.unacknowledged.acknowledge(ready.next_sample)
        self.commands.line_up(ready.commands)
        self._sent_samples = self._server_sample = ready.next_sample
        self._sent_commands = ready.commands
        attempts, self.attempts = self.attempts, 0
        if not resuming:
            return ready
        lost = max(0, self.unacknowledged.first_sample - ready.next_sample)
        return Reconnected(attempts=attempts, lost_s=lost / self.options.audio.sample_rate)

    def _command(self, message: dict[str, Any]) -> None:
        self._require_open()
        payload = self._encode(message)
        if self.commands.is_full:
            if not self._connected or self._sent_commands <= self.commands.first:
                raise TympanError("too_many_commands", "too many commands wait for the connection", retryable=True)
            self.commands.drop_oldest()
        self.commands.append(Command(self.next_sample, payload))

    def _require_open(self) -> None:
        if self.ready is None or self._stopped or self._finished:
            state = "stopping" if self._stopped and not self._finished else self.state
            raise TympanError("bad_use", f"nothing can be sent: the session is {state}")

    def _encode(self, message: dict[str, Any]) -> Payload:
        if self.codec == "json":
            return json.dumps(message)
        packed: bytes = msgpack.packb(message)
        return packed

    def _decode(self, payload: Payload) -> object:
        try:
            return json.loads(payload) if isinstance(payload, str) else msgpack.unpackb(payload)
        except (ValueError, msgpack.UnpackException) as error:
            raise TympanError("bad_server_message", f"the server sent an unreadable message: {error}") from None
