"""Latencies and figures from scripted exchanges, worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.clips import Clip, Row
from benchmarks.accuracy.exchange import Exchange, Received, Sent
from benchmarks.accuracy.figures import ClipResult, figures, latencies, row
from streaming.protocol.messages import Load, ServerMessage, Speech, Summary, Transcript, Word, WordState

CHUNK_MS = 20


def sent_in_real_time(seconds: float) -> list[Sent]:
    """Chunks of 20 ms, each sent the moment it is full, on a clock that begins with the clip."""
    return [Sent(at_s=end / 1000, until_ms=end) for end in range(CHUNK_MS, int(seconds * 1000) + 1, CHUNK_MS)]


def words(text: str, state: WordState = "tentative") -> list[Word]:
    return [
        Word(id=index, text=word, start_ms=0, end_ms=0, confidence=1.0, state=state)
        for index, word in enumerate(text.split())
    ]


def interim(revision: int, text: str, decoded_ms: int, state: WordState = "tentative") -> Transcript:
    return Transcript(
        utterance=1, channel=0, revision=revision, from_word=0, words=words(text, state), decoded_until_ms=decoded_ms
    )


def final(revision: int, text: str, utterance: int = 1) -> Transcript:
    said = words(text, "final")
    return Transcript(utterance=utterance, channel=0, revision=revision, from_word=0, words=said, final=True, text=text)


def exchange(*received: tuple[float, ServerMessage], seconds: float = 4.0) -> Exchange:
    return Exchange(sent_in_real_time(seconds), [Received(at_s, message) for at_s, message in received])


def clip(transcript: str, seconds: float) -> Clip:
    return Clip(Row("a.flac", Path("a.flac"), transcript), np.zeros(int(seconds * 16_000), np.int16), 16_000)


SPOKEN = exchange(
    (0.45, Speech(channel=0, state="started", utterance=1, at_ms=200)),
    (0.60, interim(1, "hello", 500)),
    (1.15, interim(2, "hello there", 1000, "stable")),
    (2.01, Speech(channel=0, state="ended", utterance=1, at_ms=2000, rule="silence")),
    (2.25, final(3, "hello where")),
    (4.00, Summary(audio_ms=4000, speech_ms=2000, utterances=1, words=2, encoder_frames=300, decoder_calls=9)),
)


def test_first_interim_is_counted_from_the_onset_sample() -> None:
    """The onset at 200 ms was sent at 0.2 s, the interim came at 0.6 s."""
    assert latencies(SPOKEN).first_interim == pytest.approx([400])


def test_ttfs_is_counted_from_the_sample_at_which_the_endpoint_fired() -> None:
    """Sample 2000 ms was sent at 2.0 s, the final came at 2.25 s."""
    assert latencies(SPOKEN).ttfs == pytest.approx([250])


def test_partial_lag_is_taken_just_before_and_just_after_each_interim() -> None:
    """At 0.60 s: 600 ms sent, the onset (200) and then 500 decoded. At 1.15 s: 1140 sent, 500 and then 1000."""
    assert latencies(SPOKEN).partial_lag == pytest.approx([400, 100, 640, 140])


def test_an_interim_after_the_endpoint_is_no_lag_of_open_speech() -> None:
    late = exchange(
        (0.45, Speech(channel=0, state="started", utterance=1, at_ms=200)),
        (1.00, Speech(channel=0, state="ended", utterance=1, at_ms=990, rule="silence")),
        (1.10, interim(1, "hello", 500)),
    )
    assert latencies(late).partial_lag == []


def test_only_silence_endpoints_have_a_ttfs() -> None:
    """A final forced by `stop` waited for no endpoint."""
    stopped = exchange(
        (0.45, Speech(channel=0, state="started", utterance=1, at_ms=200)),
        (4.00, Speech(channel=0, state="ended", utterance=1, at_ms=4000, rule="stop")),
        (4.20, final(1, "hello")),
    )
    assert latencies(stopped).ttfs == []


def test_figures_of_one_clip() -> None:
    """One of two words wrong; 2 stable words of which the final corrects one; 300 frames for 200 frames of audio."""
    result = ClipResult.of(clip("Hello there.", 4.0), SPOKEN, "Hello there")
    found = figures([result], [SPOKEN])
    assert (found["wer_streaming"], found["wer_offline"]) == (50.0, 0.0)
    assert (found["stable_violations"], found["final_corrections"]) == (0, 0.5)
    assert found["upwr"] == 0.5
    assert (found["frames_per_frame"], found["frames_per_speech_frame"]) == (1.5, 3.0)
    assert (found["decoder_calls_per_s"], found["decoder_calls_per_audio_s"]) == (4.5, 2.25)
    assert found["first_interim_ms"] == {"p50": 400.0, "p95": 400.0, "p99": 400.0, "count": 1}
    assert found["loops"] == 0


def test_upwr_looks_past_punctuation_and_shifted_places() -> None:
    """ "A" is "a", and beside "burger", which became two words, nothing is unstable. Exactly, "a" changed as well."""
    told = exchange(
        (0.6, interim(1, "a burger with", 500)),
        (1.1, interim(2, "A hot dog, with", 1000)),
        (2.0, final(3, "A hot dog, with mustard.")),
        (2.1, Summary(audio_ms=4000, speech_ms=2000, utterances=1, words=5)),
    )
    found = figures([ClipResult.of(clip("x", 4.0), told, None)], [])
    assert (found["upwr"], found["upwr_exact"]) == (1 / 5, 2 / 5)


def test_upwr_looks_past_moved_spaces() -> None:
    """ "hotdog" and "hot dog" say the same; with the comma it is exactly another word."""
    told = exchange(
        (0.6, interim(1, "the hotdog with", 500)),
        (2.0, final(2, "the hot dog, with mustard")),
        (2.1, Summary(audio_ms=4000, speech_ms=2000, utterances=1, words=5)),
    )
    found = figures([ClipResult.of(clip("x", 4.0), told, None)], [])
    assert (found["upwr"], found["upwr_exact"]) == (0.0, 1 / 5)


def test_a_run_under_load_is_told_from_a_calm_one() -> None:
    """Every announcement that interims become rarer counts; the return to normal does not."""
    told = exchange(
        (0.5, Load(level="slow_interims", lag_ms=2500, interim_ms=1000)),
        (0.9, Load(level="normal", lag_ms=100, interim_ms=500)),
        (2.1, Summary(audio_ms=4000, speech_ms=2000, utterances=0, words=0)),
    )
    assert figures([ClipResult.of(clip("x", 4.0), told, None)], [SPOKEN])["overloads"] == 1


def test_without_an_offline_run_its_figures_are_none() -> None:
    result = ClipResult.of(clip("Hello there.", 4.0), SPOKEN, None)
    found = figures([result], [])
    assert (found["wer_offline"], found["ttfs_ms"], row(result)["errors_offline"]) == (None, None, None)


def test_the_text_is_all_finals_in_the_order_of_the_utterances() -> None:
    assert exchange((1.0, final(1, "two", utterance=2)), (1.1, final(1, "one", utterance=1))).text == "one two"


def test_a_session_without_a_summary_is_noticed() -> None:
    with pytest.raises(LookupError, match="without a summary"):
        _ = exchange((1.0, final(1, "one"))).summary
