"""vosk-server: `/`, PCM up, and exactly one JSON text down for each binary message.

The reply to a piece of audio is what there is to say at that moment: the oldest result that was not said yet, or what
is being spoken as `partial`. A client that sends faster than it is heard gets what is left with the reply to `eof`, as
one result. There is no message for errors: the connection closes.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import msgspec

from streaming.protocol.dialect import Close, Encoded, Handshake, Outcome, Payload, Reply, Source
from streaming.protocol.dialects.idle import LeftWhenIdle
from streaming.protocol.dialects.payloads import json_text
from streaming.protocol.dialects.samples import SampleClock, format_of
from streaming.protocol.dialects.spelling import bare_words
from streaming.protocol.dialects.utterances import Utterances
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import (
    Endpointing,
    Finalize,
    Gap,
    Marker,
    MarkerEcho,
    ServerMessage,
    Speech,
    Start,
    Stop,
    Summary,
    Transcript,
    Word,
)
from streaming.protocol.words import plain_text

DEFAULT_RATE: Final = 8_000
SILENCE_MS: Final = 500
MAX_RESULTS: Final = 2000
"""That wait for a client that sends nothing more; each piece of audio takes one."""


class _Config(msgspec.Struct):
    sample_rate: float = DEFAULT_RATE
    words: bool | int = True
    max_alternatives: int = 0


class _Command(msgspec.Struct):
    config: _Config | None = None
    eof: Any = None
    reset: Any = None


_decoder: Final = msgspec.json.Decoder(_Command)


class Vosk(LeftWhenIdle):
    start: Start | None = None

    def __init__(self, handshake: Handshake) -> None:
        super().__init__(handshake)
        self.source: Source | None = None
        self._max_message_bytes = handshake.max_message_bytes
        self._config = _Config()
        self._clock: SampleClock | None = None
        """None: the session has not begun."""
        self._utterances = Utterances()
        self._results: deque[list[Word]] = deque()
        """Finals that were not said yet."""
        self._resets: deque[set[int] | None] = deque()
        """Utterances without a final that each `reset` waits for; None: its marker is not back."""

    def opened(self, now: float) -> list[Outcome]:
        return []

    # -- from the client --------------------------------------------------------------------------------------------

    def receive(self, payload: Payload, now: float) -> list[Outcome]:
        if self._closing:
            return []
        if len(payload) > self._max_message_bytes:
            raise ProtocolError("too_large", f"a message may have at most {self._max_message_bytes} bytes")
        self._last_heard = now
        return self._command(payload) if isinstance(payload, str) else self._audio(payload)

    def _command(self, text: str) -> list[Outcome]:
        try:
            command = _decoder.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise ProtocolError("bad_message", "not one of config, eof, reset") from None
        if command.config is not None:
            return self._configure(command.config)
        if command.eof:
            begun = self._begin()
            self._closing = True
            return [*begun, Stop()]
        if command.reset:
            self._resets.append(None)
            return [*self._begin(), Finalize(), Marker(id="reset")]
        return []

    def _configure(self, config: _Config) -> list[Outcome]:
        """Takes no reply."""
        if not 1000 <= config.sample_rate <= 384_000:
            raise ProtocolError("unsupported", "sample_rate: must be from 1000 to 384000")
        if self._clock is not None and config.sample_rate != self._config.sample_rate:
            raise ProtocolError("unsupported", "sample_rate: cannot change once audio was sent")
        self._config = config
        return []

    def _begin(self) -> list[Outcome]:
        if self._clock is not None:
            return []
        rate = int(self._config.sample_rate)
        audio, self.source = format_of("s16le", rate)
        self._clock = SampleClock(audio)
        return [Start(audio=audio, endpointing=Endpointing(min_silence_ms=SILENCE_MS), events=False)]

    def _audio(self, data: bytes) -> list[Outcome]:
        begun = self._begin()
        assert self._clock is not None
        heard: list[Outcome] = [Encoded(data)] if self.source is not None else [*self._clock.take(data)]
        if self._results:
            return [*begun, *heard, Reply(self._result(self._results.popleft()))]
        spoken = self._utterances.open(0)
        partial = plain_text(bare_words(spoken.words)) if spoken else ""
        return [*begun, *heard, Reply(json_text({"partial": partial}))]

    # -- from the session -------------------------------------------------------------------------------------------

    def say(self, message: ServerMessage) -> list[Payload]:
        match message:
            case Speech():
                self._utterances.speech(message)
            case Transcript():
                utterance = self._utterances.transcript(message)
                if message.final:
                    self._keep(utterance.words)
                    return self._settled(utterance.id)
            case Gap():
                lost = self._utterances.lost(message)
                return self._settled(lost.id) if lost else []
            case MarkerEcho():
                self._resets[self._resets.index(None)] = self._utterances.waiting()
                return self._settled(None)
            case Summary():
                return [self._all_results()]
        return []

    def goodbye(self, code: int, reason: str) -> Close:
        return Close(1008 if code >= 4000 else code, reason)

    def _keep(self, words: list[Word]) -> None:
        if words:
            self._results.append(words)
        if len(self._results) > MAX_RESULTS:
            raise ProtocolError("slow_reader", f"{MAX_RESULTS} results wait for audio to be replied to")

    def _settled(self, utterance: int | None) -> list[Payload]:
        said: list[Payload] = []
        for waits_for in self._resets:
            if waits_for is not None and utterance is not None:
                waits_for.discard(utterance)
        while self._resets and self._resets[0] == set():
            self._resets.popleft()
            said.append(self._all_results())
        return said

    def _all_results(self) -> Payload:
        words = [word for result in self._results for word in result]
        self._results.clear()
        return self._result(words)

    def _result(self, words: list[Word]) -> Payload:
        bare = bare_words(words)
        text = plain_text(bare)
        spelt = [
            {
                "conf": one.word.confidence,
                "start": one.word.start_ms / 1000,
                "end": one.word.end_ms / 1000,
                "word": one.text,
            }
            for one in bare
        ]
        body: dict[str, object] = {"result": spelt, "text": text} if self._config.words and spelt else {"text": text}
        if self._config.max_alternatives > 0:
            confidence = sum(one.word.confidence for one in bare) / len(bare) if bare else 1.0
            body = {"alternatives": [{"confidence": round(confidence, 4), **body}]}
        return json_text(body)
