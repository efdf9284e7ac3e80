"""Tones and speech as they were recorded. Skipped without the recordings."""

import csv
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from streaming.audio.resampler import StreamingResampler
from tests.support.tones import digits, heard

pytestmark = pytest.mark.skipif("TYMPAN_DATA" not in os.environ, reason="TYMPAN_DATA names no folder of recordings")

SPEECH_SHARE = 8
"""One of so many recordings of speech is heard; `benchmarks.tones` hears all."""
FIRST_CUT = {"us_busy": "busy", "us_reorder": "reorder", "eu_busy": "busy", "eu_congestion": "reorder"}
NAMES = FIRST_CUT | {
    "eu_dialtone": "dial_tone",
    "eu_ringback": "ringback",
    "fax_ced": "fax_ced",
    "fax_cng": "fax_cng",
    "fr_ringback": "ringback",
    "jp_ringback": "ringback",
    "recordwarn": "beep",
    "sit": "sit",
    "uk_busy": "busy",
    "uk_ringback": "ringback",
    "us_callwaiting": "beep",
    "us_dialtone": "dial_tone",
    "us_ringback": "ringback",
    "voicemail_beep": "beep",
}
NO_TONES = ("alarm_t3", "silence", "us_howler")


@cache
def recordings(kind: str) -> dict[str, str]:
    """Path and label."""
    with (Path(os.environ["TYMPAN_DATA"]) / "data" / "MANIFEST.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return {row["path"]: row["label"] for row in rows if row["kind"] == kind}


def load(path: str) -> NDArray[np.int16]:
    samples, rate = soundfile.read(Path(os.environ["TYMPAN_DATA"]) / "data" / path, dtype="float32", always_2d=True)
    resampler = StreamingResampler(rate)
    return np.concatenate([resampler.feed(samples[:, 0]), resampler.flush()])


def test_keys_are_those_of_the_labels() -> None:
    found = {path: label for path, label in recordings("tone").items() if path.startswith("tone/dtmf/")}
    assert len(found) >= 20
    for path, label in found.items():
        text = label.removeprefix("DTMF ")
        expected = 3 * text[0] if text.endswith(" x3") else text
        events = heard(load(path))
        assert digits(events) == expected, path
        assert all(event.label.startswith("dtmf_") for event in events), path


@pytest.mark.parametrize("name", sorted(NAMES))
def test_call_progress_tones_are_those_of_the_labels(name: str) -> None:
    """Many begin with the file: what may have begun before is a `tone` until a whole burst tells."""
    ended = [event for event in heard(load(f"tone/callprogress/{name}.flac")) if event.phase == "end"]
    assert ended[-1].label == NAMES[name]
    assert {event.label for event in ended} <= {NAMES[name], "tone"}
    if name[:2] in ("us", "uk", "eu") and NAMES[name] != "beep":
        assert ended[-1].detail["plan"] == name[:2]


@pytest.mark.parametrize("name", NO_TONES)
def test_alarms_and_silence_have_no_name(name: str) -> None:
    assert heard(load(f"tone/callprogress/{name}.flac")) == []


def test_a_busy_tone_of_a_sound_theme_is_busy() -> None:
    events = heard(load("event/freedesktop/phone-outgoing-busy.oga"))
    assert [event.label for event in events] == ["tone", "busy", "busy"]


def test_recorded_speech_is_no_tone_of_any_kind() -> None:
    paths = sorted(recordings("speech"))[::SPEECH_SHARE]
    assert len(paths) > 100
    for path in paths:
        assert heard(load(path)) == [], path
