"""Calls told in seconds, for tests of the call model."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.protocol.calls import CallAccount
from streaming.telephony import CallEvent, CallModel, CallSettings, Word, summarise

RATE = 16_000
LABELS = ("agent", "customer")


def samples(seconds: float) -> int:
    return round(seconds * RATE)


def words(text: str, at_s: float = 0.0, *, stable: bool = True, each_s: float = 0.25) -> list[Word]:
    """The words one after another; `+` before one glues it to the word before."""
    return [
        Word(
            word.removeprefix("+"),
            samples(at_s + n * each_s),
            samples(at_s + (n + 1) * each_s),
            stable,
            word.startswith("+"),
        )
        for n, word in enumerate(text.split())
    ]


class Call:
    """A call model whose facts are told in seconds, and all that it said."""

    def __init__(self, channels: int = 2, settings: CallSettings | None = None) -> None:
        self.model = CallModel(channels, settings or CallSettings())
        self.channels = channels
        self.events: list[CallEvent] = []

    def talk(self, channel: int, *spans_s: tuple[float, float]) -> Call:
        for begin_s, end_s in spans_s:
            self.model.speech_started(channel, samples(begin_s))
            self.model.speech_ended(channel, samples(end_s))
        return self

    def sound(self, label: str, begin_s: float, end_s: float, channel: int = 0) -> Call:
        self.model.sound(channel, label, "start", samples(begin_s), None)
        self.model.sound(channel, label, "end", samples(begin_s), samples(end_s))
        return self

    def key(self, name: str, at_s: float, channel: int = 0) -> Call:
        self.model.sound(channel, f"dtmf_{name}", "instant", samples(at_s), samples(at_s + 0.1))
        return self

    def say(self, text: str, at_s: float, *, channel: int = 0, utterance: int = 1, final: bool = True) -> Call:
        self.events += self.model.words(channel, utterance, words(text, at_s), final=final)
        return self

    def until(self, *seconds: float) -> Call:
        """The clock goes on to here, step by step."""
        for second in seconds:
            self.events += self.model.advance([samples(second)] * self.channels)
        return self

    def over(self, at_s: float) -> CallAccount:
        self.events += self.model.finish(samples(at_s))
        return summarise(self.model, LABELS[: self.channels])

    def told(self, *kinds: str) -> list[tuple[str, str, float, float | None]]:
        """(kind, phase, begin, end) of the events of these kinds, in seconds."""
        return [
            (
                event.kind,
                event.phase,
                event.start_sample / RATE,
                None if event.end_sample is None else event.end_sample / RATE,
            )
            for event in self.events
            if event.kind in kinds or not kinds
        ]


def seconds(spans: Sequence[object]) -> list[tuple[float, float]]:
    """The wire's spans as (begin, end)."""
    return [(span.start_ms / 1000, span.end_ms / 1000) for span in spans]  # type: ignore[attr-defined]
