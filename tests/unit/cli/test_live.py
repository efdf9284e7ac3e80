"""Live captions as they look on a terminal and in a pipe."""

import io

import numpy as np
import pytest
from rich.console import Console
from tympan_client import Load, ModelInfo, Ready, Reconnected, Reconnecting, TranscriptUpdate, Word

from streaming.cli.live import FLOOR_DB, LiveCaptions, PlainCaptions, level_db


def update(revision: int, text: str, *, utterance: int = 1, final: bool = False) -> TranscriptUpdate:
    """Words of `text`; those behind a "|" are tentative."""
    stable, _, tentative = text.partition("|")
    state = "final" if final else "stable"
    words = [(word, state) for word in stable.split()] + [(word, "tentative") for word in tentative.split()]
    return TranscriptUpdate(
        utterance=utterance,
        channel=utterance - 1,
        revision=revision,
        from_word=0,
        words=tuple(
            Word(id=i, text=word, start_ms=0, end_ms=0, confidence=1.0, state=state)
            for i, (word, state) in enumerate(words)
        ),
        final=final,
        lag_ms=240,
    )


def rendered(captions: LiveCaptions) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    console.print(captions.render())
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_stable_words_are_bold_and_tentative_ones_dim() -> None:
    captions = LiveCaptions("microphone")
    captions.receive(update(1, "Good morning | to you"))
    text = captions.render().renderables[0]
    assert text.plain == "Good morning to you"
    assert str(text.style) == "bold"
    assert [(text.plain[span.start : span.end], span.style) for span in text.spans] == [(" to you", "dim italic")]


def test_a_final_leaves_the_live_part() -> None:
    captions = LiveCaptions("microphone")
    captions.receive(update(1, "| Good"))
    assert [line.plain for line in captions.receive(update(2, "Good morning.", final=True))] == ["Good morning."]
    assert "Good" not in rendered(captions)


def test_the_last_line_tells_source_model_latency_and_load() -> None:
    captions = LiveCaptions("microphone")
    captions.receive(Ready(session="s", model=ModelInfo(name="tiny.en", device="cpu", dtype="f"), max_message_bytes=1))
    captions.receive(update(1, "| Good"))
    captions.receive(Load(level="finals_only", lag_ms=1, interim_ms=1))
    assert "microphone · tiny.en on cpu · 240 ms behind · the server is busy: finals only" in rendered(captions)
    captions.receive(Load(level="normal", lag_ms=1, interim_ms=1))
    assert "busy" not in rendered(captions)


def test_a_lost_connection_is_one_quiet_word_until_it_is_back() -> None:
    captions = LiveCaptions("microphone")
    captions.receive(Reconnecting(reason="connection_lost", attempt=1, delay_s=0.1))
    assert "reconnecting …" in rendered(captions)
    captions.receive(Reconnected(attempts=1, lost_s=0.0))
    assert "reconnecting" not in rendered(captions)
    captions.receive(Reconnected(attempts=9, lost_s=4.2))
    assert "4 s of sound are lost" in rendered(captions)


@pytest.mark.parametrize(
    ("samples", "level"),
    [([], FLOOR_DB), ([0] * 10, FLOOR_DB), ([1] * 10, FLOOR_DB), ([-32768] * 10, 0.0), ([16384] * 10, -6.02)],
)
def test_the_level_is_in_decibels_below_full_scale(samples: list[int], level: float) -> None:
    assert level_db(np.array(samples, "<i2").tobytes()) == pytest.approx(level, abs=0.01)


def written(*updates: TranscriptUpdate) -> str:
    captions = PlainCaptions()
    return "".join(captions.receive(one) for one in updates)


def test_a_pipe_gets_words_when_they_are_stable_and_a_line_for_each_utterance() -> None:
    assert written(update(1, "| Good")) == ""
    assert written(update(1, "Good | morn"), update(2, "Good morning | to")) == "Good morning"
    assert written(update(1, "Good | morn"), update(2, "Good morning.", final=True)) == "Good morning.\n"


def test_a_final_that_corrects_a_written_word_is_written_again() -> None:
    text = written(update(1, "Good mourning"), update(2, "Good morning.", final=True))
    assert text == "Good mourning\n=> Good morning.\n"


def test_a_final_without_words_leaves_no_empty_line() -> None:
    assert written(update(1, "| hm"), update(2, "", final=True)) == ""


def test_two_channels_never_share_a_line() -> None:
    text = written(
        update(1, "How are | you", utterance=1),
        update(1, "Fine | thanks", utterance=2),
        update(2, "Fine, thanks.", utterance=2, final=True),
        update(2, "How are you?", utterance=1, final=True),
    )
    assert text == "How are you?\nFine, thanks.\n"
