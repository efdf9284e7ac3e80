"""A session's call model, where `start.call` asks for one: from speech, words and sounds to `call` messages. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streaming.audio.clock import ms_to_samples, samples_to_ms
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import (
    Call,
    CallOptions,
    CallSummary,
    Event,
    Gap,
    ServerMessage,
    Speech,
    Start,
    Transcript,
)
from streaming.protocol.messages import Word as WireWord
from streaming.telephony import CallEvent, CallModel, CallSettings, Word, summarise

MAX_OPEN = 64
"""Utterances without a final whose words are kept."""


class CallingState(msgspec.Struct, frozen=True, array_like=True):
    model: bytes
    words: dict[int, tuple[int, list[Word]]]
    """Of utterances without a final: the channel and its words."""


class Calling:
    """Order of calls: `speech_started`, `speech_ended` and `hear` as it comes about, `advance` at fixed places of the
    sample clock, `finish` when neither audio nor a final follows. Without a call model they do nothing."""

    def __init__(self, start: Start) -> None:
        """Raises ProtocolError: `unsupported`."""
        self._labels = start.audio.labels or ()
        self._words: dict[int, tuple[int, list[Word]]] = {}
        self._model = None if start.call is None else CallModel(start.audio.channels, call_settings(start.call))
        self._keywords = [] if start.call is None else start.call.keywords

    def state(self) -> CallingState | None:
        return None if self._model is None else CallingState(self._model.state(), self._words)

    def restore(self, state: CallingState | None) -> None:
        """Raises ValueError: the state is damaged."""
        if self._model is not None and state is not None:
            self._model.restore(state.model)
            self._words = state.words

    def speech_started(self, channel: int, onset_sample: int) -> None:
        if self._model is not None:
            self._model.speech_started(channel, onset_sample)

    def speech_ended(self, channel: int, offset_sample: int) -> None:
        if self._model is not None:
            self._model.speech_ended(channel, offset_sample)

    def hear(self, message: ServerMessage) -> list[ServerMessage]:
        """What is to be said of what the session says."""
        match message:
            case Transcript() if self._model is not None:
                return self._say(self._read(self._model, message))
            case Event(source="tagger" | "tones" | "signalling") if self._model is not None:
                end = None if message.end_ms is None else ms_to_samples(message.end_ms)
                self._model.sound(message.channel, message.label, message.phase, ms_to_samples(message.start_ms), end)
            case Speech(state="started") if self._model is not None:
                self._keep(message.utterance, message.channel, [])
            case Gap(reason="lost"):  # the next final of the channel will not come
                lost = [utterance for utterance, (channel, _) in self._words.items() if channel == message.channel]
                self._words.pop(min(lost, default=0), None)
        return []

    def advance(self, decided_until: Sequence[int]) -> list[ServerMessage]:
        """`decided_until`: for each channel the position up to which it is known whether it speaks."""
        return [] if self._model is None else self._say(self._model.advance(decided_until))

    def finish(self, at_sample: int) -> list[ServerMessage]:
        """The last of it: what ends with the call, and its account."""
        if self._model is None:
            return []
        ended = self._say(self._model.finish(at_sample))
        return [*ended, CallSummary(call=summarise(self._model, self._labels))]

    def _read(self, model: CallModel, message: Transcript) -> list[CallEvent]:
        _, before = self._words.pop(message.utterance, (0, []))
        words = [*before[: message.from_word], *(_word(word) for word in message.words)]
        if not message.final:
            self._keep(message.utterance, message.channel, words)
        return model.words(message.channel, message.utterance, words, final=message.final)

    def _keep(self, utterance: int, channel: int, words: list[Word]) -> None:
        self._words[utterance] = (channel, words)
        if len(self._words) > MAX_OPEN:
            del self._words[next(iter(self._words))]

    def _say(self, events: Sequence[CallEvent]) -> list[ServerMessage]:
        return [
            Call(
                kind=event.kind,
                phase=event.phase,
                channel=event.channel,
                start_ms=samples_to_ms(event.start_sample),
                end_ms=None if event.end_sample is None else samples_to_ms(event.end_sample),
                keyword=None if event.phrase is None else self._keywords[event.phrase],
                utterance=event.utterance,
                reason=event.reason,
            )
            for event in events
        ]


def call_settings(options: CallOptions) -> CallSettings:
    """The wire's options as the call model takes them.

    Raises:
        ProtocolError: `unsupported`.
    """
    try:
        return CallSettings(
            dead_air_samples=ms_to_samples(options.dead_air_ms),
            talk_over_samples=ms_to_samples(options.talk_over_ms),
            interruption_samples=ms_to_samples(options.interruption_ms),
            hold_samples=ms_to_samples(options.hold_ms),
            keywords=tuple(options.keywords),
        )
    except ValueError as error:
        raise ProtocolError("unsupported", f"$.call.keywords: {error}") from None


def _word(word: WireWord) -> Word:
    stable = word.state != "tentative"
    return Word(word.text, ms_to_samples(word.start_ms), ms_to_samples(word.end_ms), stable, word.glued)
