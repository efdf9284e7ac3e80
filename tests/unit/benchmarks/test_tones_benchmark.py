"""Missed and false keys are counted right, and recordings are read as the manifest lists them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.tones.corpus import CorpusError, babble, load, recordings
from benchmarks.tones.measure import account, group_of, heard
from benchmarks.tones.synthesis import Press, as_int16, presses
from inference.tagging.tones import ToneEvent

PRESSED = [Press("dtmf_1", 1_000, 2_000), Press("dtmf_2", 3_000, 4_000), Press("dtmf_2", 5_000, 6_000)]


def started(label: str, at: int) -> ToneEvent:
    return ToneEvent(label, "start", at, None, at + 600)


def test_every_press_is_heard_once() -> None:
    events = [started("dtmf_1", 990), started("dtmf_2", 3_010), started("dtmf_2", 5_000)]
    assert account(events, PRESSED) == {"pressed": 3, "missed": 0, "false": 0}


def test_a_wrong_key_is_missed_and_false() -> None:
    events = [started("dtmf_4", 1_000), started("dtmf_2", 3_010), started("dtmf_2", 5_000)]
    assert account(events, PRESSED) == {"pressed": 3, "missed": 1, "false": 1}


def test_a_split_press_and_a_key_in_a_pause_are_false() -> None:
    events = [started("dtmf_1", 1_000), started("dtmf_1", 1_600), started("dtmf_2", 2_500), started("dtmf_2", 3_000)]
    assert account(events, PRESSED) == {"pressed": 3, "missed": 1, "false": 2}


def test_drawn_presses_are_all_heard_without_noise() -> None:
    signal, pressed = presses(60, np.random.default_rng(1))
    assert account(heard(as_int16(signal)), pressed) == {"pressed": 60, "missed": 0, "false": 0}


def test_labels_have_a_group() -> None:
    assert [group_of(label) for label in ("dtmf_star", "tone", "busy")] == ["keys", "unnamed", "named"]


def test_recordings_are_read_from_the_folder_or_its_data(tmp_path: Path) -> None:
    base = tmp_path / "data"
    base.mkdir()
    rows = ["path\tkind\tlabel", "a.wav\tspeech\thello", "b.wav\ttone\tDTMF 1", "c.wav\tevent\tbusy tone (telephone)"]
    (base / "MANIFEST.tsv").write_text("\n".join(rows) + "\n")
    soundfile.write(base / "a.wav", np.full(8_000, 0.25), 8_000)
    assert recordings(tmp_path) == recordings(base)
    (found,) = recordings(tmp_path)
    assert (found.kind, found.path) == ("speech", "a.wav")
    assert len(load(found)) == 16_000
    assert len(load(found, 2.0)) == pytest.approx(8_000, abs=2)
    noise = babble([found], 40_000, 2, np.random.default_rng(0))
    assert np.mean(noise**2) == pytest.approx(1)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"has no MANIFEST\.tsv"):
        recordings(tmp_path)
