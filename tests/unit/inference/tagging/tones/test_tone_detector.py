"""What the detector asks of its callers, and what it costs to keep."""

import subprocess
import sys

import msgspec
import numpy as np
import pytest

from inference.tagging.tones import BadStateError, ToneDetector, ToneSettings
from tests.support.tones import digits, key, keys, pcm, silence


def test_a_detector_begins_on_the_grid() -> None:
    with pytest.raises(ValueError, match="multiple of 320"):
        ToneDetector(origin_sample=100)


def test_nothing_is_fed_after_the_flush() -> None:
    detector = ToneDetector()
    detector.flush()
    with pytest.raises(RuntimeError, match="flushed"):
        detector.feed(np.zeros(10, np.int16))


@pytest.mark.parametrize("cut", [0, 2, 7_040, 7_042])
def test_a_damaged_state_is_refused(cut: int) -> None:
    detector = ToneDetector()
    detector.feed(np.zeros(1000, np.int16))
    state = detector.state()
    damaged = msgspec.structs.replace(state, audio=state.audio[:cut])
    with pytest.raises(BadStateError):
        ToneDetector().restore(damaged)


def test_a_state_does_not_grow_with_the_stream() -> None:
    detector = ToneDetector()
    sizes = []
    for _ in range(4):
        detector.feed(pcm(keys("0123456789", 80, 80)))
        sizes.append(len(msgspec.msgpack.encode(detector.state())))
    assert max(sizes) < 9_000


@pytest.mark.parametrize(
    ("name", "value"),
    [("min_level_dbfs", 0.0), ("dtmf_tolerance", 0.05), ("dtmf_min_ms", 10.0), ("beep_alone_ms", 0.0)],
)
def test_settings_out_of_range_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        ToneSettings(**{name: value})


def test_settings_move_what_is_accepted() -> None:
    signal = pcm(np.concatenate([silence(100), key("6", 27), silence(100)]))
    assert digits(ToneDetector().feed(signal)) == ""
    assert digits(ToneDetector(ToneSettings(dtmf_min_ms=24)).feed(signal)) == "6"


def test_the_detectors_load_no_model_library_and_no_event_loop() -> None:
    script = "import sys, inference.tagging.tones; print(*{'torch', 'transformers', 'asyncio'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split() == []
