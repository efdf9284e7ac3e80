"""What a disturbed session lost or said twice, beside the same script undisturbed. Pure.

A final is an utterance with its span of the sample clock, from the `speech` messages about it. The undisturbed run says
which speech there is; the disturbed one has to account for each sample of it, by a final or by a gap that it reported.
What lies between is silence, and accounted for by the server's own clock (`summary.audio_ms`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.accuracy.clips import MODEL_RATE
from benchmarks.accuracy.exchange import Exchange
from benchmarks.accuracy.words import WordErrors, normalise, word_errors
from benchmarks.cluster.client import Told, markers_of
from streaming.protocol.messages import Speech, Transcript

SAMPLES_PER_MS = MODEL_RATE // 1000

Span = tuple[int, int]
"""Samples at 16 kHz: the first, and the one behind the last."""


@dataclass(frozen=True, slots=True)
class Final:
    utterance: int
    span: Span
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """Of one session."""

    unaccounted: int
    """Samples at 16 kHz that were acknowledged, or sent in a session that came to its end, and of which nothing was
    said."""
    lost: int
    """Undisturbed finals with words whose place has no final, nor a gap."""
    duplicated: int
    """Finals that the application was given a second time."""
    repeated: int
    """Finals that came over the wire a second time, and that the client kept to itself."""
    contradicted: int
    """Of these, with other words."""
    speech_amiss: int
    """`speech` messages that the application was given twice, or not at all: each utterance starts and ends."""
    markers_amiss: int
    """Markers that did not come back once each, in order, at their place."""
    differs: bool
    """The finals' words, in order, are not those of the undisturbed run."""
    errors: WordErrors
    errors_undisturbed: WordErrors


def account(told: Told, undisturbed: Exchange) -> Account:
    """Args: undisturbed: the same script, alone."""
    expected = finals_of(undisturbed)
    spans = _speech_spans(told.wire)
    said = [
        Final(final.id, spans.get(final.id, _word_span(final.words)), tuple(word.text for word in final.words))
        for final in told.finals
    ]
    rate = told.script.sample_rate
    covered = [final.span for final in said]
    covered += [(_on_clock(gap.from_sample, rate), _on_clock(gap.to_sample, rate)) for gap in told.gaps]
    unaccounted = sum(_outside(final.span, covered) for final in expected if final.words)
    if told.summary is None:
        unaccounted += _on_clock(told.acknowledged, rate)
    else:
        sent_ms = round(told.wire.sent[-1].until_ms) if told.wire.sent else 0
        unaccounted += abs(sent_ms - told.summary.audio_ms) * SAMPLES_PER_MS
    on_wire = [
        received.message
        for received in told.wire.received
        if isinstance(received.message, Transcript) and received.message.final
    ]
    texts: dict[int, set[tuple[str, ...]]] = {}
    for message in on_wire:
        texts.setdefault(message.utterance, set()).add(tuple(word.text for word in message.words))
    reference = normalise(told.script.row.transcript)
    return Account(
        unaccounted=unaccounted,
        lost=sum(_outside(final.span, covered) == _length(final.span) for final in expected if final.words),
        duplicated=_repeats(final.id for final in told.finals),
        repeated=_repeats(message.utterance for message in on_wire),
        contradicted=sum(len(found) > 1 for found in texts.values()),
        speech_amiss=_repeats(told.speech) + _missing(told.speech, [final.utterance for final in said]),
        markers_amiss=_amiss([(echo.id, echo.sample) for echo in told.markers], markers_of(told.script)),
        differs=_words(said) != _words(expected),
        errors=word_errors(reference, normalise(" ".join(_words(said)))),
        errors_undisturbed=word_errors(reference, normalise(" ".join(_words(expected)))),
    )


def finals_of(exchange: Exchange) -> list[Final]:
    """In the order of their utterances."""
    spans = _speech_spans(exchange)
    return [
        Final(final.utterance, spans.get(final.utterance, _word_span(final.words)), tuple(w.text for w in final.words))
        for final in exchange.finals
    ]


def _words(finals: Sequence[Final]) -> list[str]:
    return [word for final in sorted(finals, key=lambda final: final.span) for word in final.words]


def _speech_spans(exchange: Exchange) -> dict[int, Span]:
    began: dict[int, int] = {}
    spans: dict[int, Span] = {}
    for received in exchange.received:
        match received.message:
            case Speech(state="started", utterance=utterance, at_ms=at_ms):
                began[utterance] = at_ms
            case Speech(state="ended", utterance=utterance, at_ms=at_ms) if utterance in began:
                spans[utterance] = (began[utterance] * SAMPLES_PER_MS, at_ms * SAMPLES_PER_MS)
    return spans


def _word_span(words: Sequence[object]) -> Span:
    """Where the `speech` messages are not both there."""
    times = [(getattr(word, "start_ms", 0), getattr(word, "end_ms", 0)) for word in words]
    return (times[0][0] * SAMPLES_PER_MS, times[-1][1] * SAMPLES_PER_MS) if times else (0, 0)


def _on_clock(sample: int, rate: int) -> int:
    return sample * MODEL_RATE // rate


def _length(span: Span) -> int:
    return span[1] - span[0]


def _outside(span: Span, covered: Iterable[Span]) -> int:
    """Samples of a span that none of the others holds."""
    at, outside = span[0], 0
    for first, end in sorted(covered):
        if end <= at:
            continue
        if first >= span[1]:
            break
        outside += max(0, first - at)
        at = max(at, end)
    return outside + max(0, span[1] - at)


def _amiss(found: Sequence[tuple[str, int]], expected: Sequence[tuple[str, int]]) -> int:
    if found == expected:
        return 0
    return max(1, sum(((Counter(found) - Counter(expected)) + (Counter(expected) - Counter(found))).values()))


def _missing(speech: Sequence[tuple[str, int]], utterances: Iterable[int]) -> int:
    wanted = {(state, utterance) for utterance in utterances for state in ("started", "ended")}
    return len(wanted - set(speech))


def _repeats(ids: Iterable[Hashable]) -> int:
    return sum(count - 1 for count in Counter(ids).values())
