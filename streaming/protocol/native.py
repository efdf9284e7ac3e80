"""The native protocol's connection, without a socket: states, limits, the clock of raw audio.

It is a `Dialect` (streaming/protocol/dialect.py), which says the order of calls. When `receive` or `timeout` raises
`ProtocolError`, its `as_message()` is sent and the connection closed with its `close_code`; nothing may be received
afterwards.
"""

from __future__ import annotations

from typing import Literal

from streaming.protocol.codec import DEFAULT_CODEC, Codec, decode_client, encode_server
from streaming.protocol.dialect import Close, Source
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import (
    Audio,
    AudioFormat,
    ClientMessage,
    Encoding,
    RawAudio,
    Ready,
    RefusedAsk,
    ServerMessage,
    Start,
    Stop,
)

MAX_MESSAGE_BYTES = 1 << 20
"""1 MiB: 32 s of s16le mono at 16 kHz in one msgpack message."""
START_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 300.0

BYTES_PER_SAMPLE: dict[Encoding, int] = {"s16le": 2, "f32le": 4, "mulaw": 1, "alaw": 1}

State = Literal["waiting", "streaming", "stopping"]


class NativeProtocol:
    """One connection. Times are seconds of any monotonic clock, always the same one.

    - *waiting*: only `start` may come, and it must come within `start_timeout_s`.
    - *streaming*: everything but `start` may come, with at most `idle_timeout_s` between two messages.
    - *stopping*: after `stop`. Whatever still comes (a microphone's last chunks, say) is ignored unread.
    """

    start: Start | None = None
    source: Source | None = None

    def __init__(
        self,
        now: float,
        codec: Codec = DEFAULT_CODEC,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        start_timeout_s: float = START_TIMEOUT_S,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> None:
        self.codec = codec
        self.max_message_bytes = max_message_bytes
        self.state: State = "waiting"
        self._start_timeout_s = start_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._last_heard = now
        self._sample_frame_bytes = 1
        self._next_sample = 0

    def opened(self, now: float) -> list[ClientMessage]:
        """Nothing: the client speaks first."""
        return []

    def receive(self, payload: bytes | str, now: float) -> list[ClientMessage | RefusedAsk]:
        """The messages that one WebSocket message means: one, or none. Raw audio comes out as `Audio` with its place.

        Raises:
            ProtocolError: the connection is over.
        """
        if self.state == "stopping":
            return []
        self._check_size(payload)
        self._last_heard = now
        message = decode_client(self.codec, payload)
        if self.state == "waiting":
            return [self._start(message)]
        match message:
            case RawAudio(data):
                return self._audio(Audio(first_sample=self._next_sample, data=data))
            case Audio():
                return self._audio(message)
            case Start():
                raise ProtocolError("already_started", "`start` came twice; open a connection for each session")
            case Stop():
                self.state = "stopping"
        return [message]

    def say(self, message: ServerMessage) -> list[bytes | str]:
        return [self.encode(message)]

    def goodbye(self, code: int, reason: str) -> Close:
        return Close(code, reason)

    def encode(self, message: ServerMessage) -> bytes | str:
        """The payload of one WebSocket message. `ready` sets the clock that raw audio continues.

        A client need not wait for `ready`: raw audio that came before it has its place already.
        """
        if isinstance(message, Ready):
            self._next_sample = max(self._next_sample, message.next_sample)
        return encode_server(self.codec, message)

    @property
    def deadline(self) -> float | None:
        """When `timeout` would raise if nothing came until then; None: never."""
        match self.state:
            case "waiting":
                return self._last_heard + self._start_timeout_s
            case "streaming":
                return self._last_heard + self._idle_timeout_s
            case "stopping":
                return None

    def timeout(self, now: float) -> list[ClientMessage]:
        """Raises ProtocolError (`start_timeout`, `idle_timeout`) once `deadline` is reached."""
        if self.deadline is None or now < self.deadline:
            return []
        if self.state == "waiting":
            raise ProtocolError("start_timeout", f"no `start` within {self._start_timeout_s:g} s")
        raise ProtocolError("idle_timeout", f"no message for {self._idle_timeout_s:g} s; send audio, even silence")

    def _check_size(self, payload: bytes | str) -> None:
        size = len(payload)
        if isinstance(payload, str) and size <= self.max_message_bytes and not payload.isascii():
            size = len(payload.encode("utf-8", "surrogatepass"))
        if size > self.max_message_bytes:
            raise ProtocolError("too_large", f"a message may have at most {self.max_message_bytes} bytes")

    def _start(self, message: ClientMessage | RawAudio | RefusedAsk) -> Start:
        if not isinstance(message, Start):
            raise ProtocolError("start_expected", "the first message must be `start`")
        labels = message.audio.labels
        if labels is not None and len(labels) != message.audio.channels:
            raise ProtocolError("unsupported", f"$.audio.labels: {message.audio.channels} expected, one per channel")
        self._sample_frame_bytes = sample_frame_bytes(message.audio)
        self.state = "streaming"
        return message

    def _audio(self, audio: Audio) -> list[ClientMessage | RefusedAsk]:
        samples, rest = divmod(len(audio.data), self._sample_frame_bytes)
        if rest:
            # Fatal: after a torn sample, the place of everything that follows would be a guess.
            raise ProtocolError("bad_audio", f"audio must be a multiple of {self._sample_frame_bytes} bytes")
        if not samples:
            return []
        self._next_sample = max(self._next_sample, audio.first_sample + samples)
        return [audio]


def sample_frame_bytes(audio: AudioFormat) -> int:
    """Bytes of one sample of every channel."""
    return BYTES_PER_SAMPLE[audio.encoding] * audio.channels
