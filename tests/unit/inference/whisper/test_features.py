"""Log-mel features: Whisper's own, however the audio comes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inference.whisper.features import LOG_FLOOR, LogMel, normalise
from tests.support.checkpoints import SECOND, clip, feature_extractor, floats, noise

WINDOW_FRAMES = 3000  # feature frames in 30 s


def features(pcm: NDArray[np.float32], heads: list[int] | None = None, until: int = WINDOW_FRAMES) -> torch.Tensor:
    mel = LogMel(80)
    audio = torch.from_numpy(pcm)
    for head in heads or []:
        mel.at(audio, head, until)
    raw, maximum = mel.at(audio, len(pcm), until)
    return normalise(raw, maximum)


@pytest.mark.parametrize("samples", [400, 1000, 16_000, 16_160, 33_333, 160_001, 29 * SECOND])
def test_a_clip_shorter_than_the_window_has_the_features_of_whispers_extractor(samples: int) -> None:
    """To float32 rounding of a logarithm; the scale is about -1 to 1.5."""
    pcm = floats(noise(samples))
    wanted = feature_extractor()(pcm, sampling_rate=SECOND, return_tensors="pt").input_features[0]
    torch.testing.assert_close(features(pcm), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["question.flac", "telephone.wav"])
def test_speech_has_the_features_of_whispers_extractor(name: str) -> None:
    pcm = floats(clip(name))
    wanted = feature_extractor()(pcm, sampling_rate=SECOND, return_tensors="pt").input_features[0]
    torch.testing.assert_close(features(pcm), wanted, atol=1e-4, rtol=0)


def test_digital_silence_is_at_the_floor() -> None:
    raw, maximum = LogMel(80).at(torch.zeros(SECOND), SECOND, 100)
    assert maximum == LOG_FLOOR
    assert bool((raw == LOG_FLOOR).all())


@pytest.mark.parametrize(
    "heads",
    [
        [1],
        [160, 320, 480],
        [199, 200, 201],
        [8000, 16_000, 24_000],
        list(range(1000, 40_000, 977)),
        [0, 39_999, 40_000],
    ],
)
def test_any_schedule_of_heads_gives_the_same_features(heads: list[int]) -> None:
    """Frames that reach past an earlier head are computed again when their samples are there."""
    pcm = floats(noise(40_000))
    assert torch.equal(features(pcm, heads), features(pcm))


def test_what_comes_after_the_head_does_not_count() -> None:
    loud = floats(noise(32_000))
    cut = loud.copy()
    cut[16_000:] = 0
    with_more, _ = LogMel(80).at(torch.from_numpy(loud), 16_000, 200)
    alone, _ = LogMel(80).at(torch.from_numpy(cut), 16_000, 200)
    assert torch.equal(with_more, alone)


def test_the_running_maximum_is_that_of_the_audio_before_the_head() -> None:
    quiet_then_loud = np.concatenate([floats(noise(16_000)) * 0.01, floats(noise(16_000))]).astype(np.float32)
    mel, audio = LogMel(80), torch.from_numpy(quiet_then_loud)
    _, early = mel.at(audio, 16_000, 10)
    _, late = mel.at(audio, 32_000, 10)
    assert early < late - 2


def test_frames_after_the_audio_are_silence() -> None:
    raw, _ = LogMel(80).at(torch.from_numpy(floats(noise(1600))), 1600, 50)
    assert raw.shape == (80, 50)
    assert bool((raw[:, 12:] == LOG_FLOOR).all())  # frame 11 begins at sample 1560, frame 12 at 1720


def test_a_head_only_moves_forward() -> None:
    mel, audio = LogMel(80), torch.zeros(1000)
    mel.at(audio, 1000, 10)
    with pytest.raises(AssertionError, match="forward"):
        mel.at(audio, 999, 10)
