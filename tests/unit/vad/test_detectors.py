"""Each detector by itself, on made sounds."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

import vad.silero
from vad import CascadeDetector, DetectorError, DetectorName, SileroDetector, SpeechDetector, make_detector
from vad.cascade import HOLD_FRAMES, WARM_UP_FRAMES

FRAME = 512
NAMES: list[DetectorName] = ["webrtc", "silero", "cascade"]


def noise(frames: int, level: float = 2000.0, seed: int = 0) -> NDArray[np.int16]:
    return (np.random.default_rng(seed).standard_normal(frames * FRAME) * level).clip(-32768, 32767).astype(np.int16)


def probabilities(detector: SpeechDetector, pcm: NDArray[np.int16]) -> list[float]:
    return [detector.probability(pcm[at : at + FRAME]) for at in range(0, len(pcm), FRAME)]


class ScriptedDetector:
    """Hears a frame's first sample: its thousandth is the probability. Writes down what it heard."""

    frame_samples = FRAME

    def __init__(self) -> None:
        self.heard: list[int] = []

    def probability(self, frame: NDArray[np.int16]) -> float:
        self.heard.append(int(frame[1]))
        return float(frame[0]) / 1000

    def reset(self) -> None:
        self.heard = []

    def state(self) -> bytes:
        return b""

    def restore(self, state: bytes, recent: NDArray[np.int16]) -> None:
        self.heard = [int(frame[1]) for frame in recent.reshape(-1, FRAME)]


def numbered(*voiced: bool) -> NDArray[np.int16]:
    """Frames whose first sample tells the gate and whose second counts them."""
    frames = np.zeros((len(voiced), FRAME), np.int16)
    frames[:, 0] = np.array(voiced) * 1000
    frames[:, 1] = np.arange(len(voiced))
    return frames.ravel()


@pytest.mark.parametrize("name", NAMES)
def test_silence_is_no_speech(name: DetectorName) -> None:
    assert max(probabilities(make_detector(name), np.zeros(40 * FRAME, np.int16))) < 0.3


@pytest.mark.parametrize("name", NAMES)
def test_a_reset_detector_answers_like_a_new_one(name: DetectorName) -> None:
    detector, pcm = make_detector(name), noise(20)
    first = probabilities(detector, pcm)
    detector.reset()
    assert probabilities(detector, pcm) == first


@pytest.mark.parametrize("name", NAMES)
def test_streams_do_not_hear_each_other(name: DetectorName) -> None:
    one, other, pcm = make_detector(name), make_detector(name), noise(20)
    alone = probabilities(make_detector(name), pcm)
    mixed = []
    for at in range(0, len(pcm), FRAME):
        mixed.append(one.probability(pcm[at : at + FRAME]))
        other.probability(pcm[::-1][at : at + FRAME])
    assert mixed == alone


def test_the_cascade_wakes_on_voice_hears_what_came_before_and_sleeps_again() -> None:
    gate, detector = ScriptedDetector(), ScriptedDetector()
    cascade = CascadeDetector(gate, detector)
    quiet, after = WARM_UP_FRAMES + 5, HOLD_FRAMES + 10
    probabilities(cascade, numbered(*[False] * quiet, True, *[False] * after))
    assert detector.heard == list(range(5, quiet + HOLD_FRAMES))
    assert not cascade.awake
    assert len(gate.heard) == quiet + 1 + after


def test_while_asleep_the_cascade_says_no_speech() -> None:
    gate = ScriptedDetector()
    assert probabilities(CascadeDetector(gate, SileroDetector()), numbered(*[False] * 20)) == [0.0] * 20


def test_silero_is_found_without_importing_torch() -> None:
    code = "import sys, vad; vad.make_detector('silero'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_model_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vad.silero, "find_spec", lambda name: None)
    vad.silero._network.cache_clear()
    with pytest.raises(DetectorError, match="pip install silero-vad"):
        SileroDetector()
