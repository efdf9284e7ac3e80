"""Files of any kind as audio at 16 kHz."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from streaming.cli.errors import UserError
from streaming.cli.media import CHUNK_SAMPLES, MediaFile

CLIPS = Path(__file__).parents[2] / "data"


def read(media: MediaFile) -> np.ndarray:
    return np.frombuffer(b"".join(media.chunks()), "<i2").reshape(-1, media.channels)


def test_16_khz_audio_comes_out_as_it_went_in() -> None:
    samples, _ = soundfile.read(CLIPS / "question.flac", dtype="int16")
    np.testing.assert_array_equal(read(MediaFile.open(CLIPS / "question.flac"))[:, 0], samples)


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_any_rate_comes_out_at_16_khz_in_full_length(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(np.arange(rate) / rate * 2 * np.pi * 440), rate)
    samples = read(MediaFile.open(tmp_path / "a.wav"))
    assert abs(len(samples) - 16_000) <= 16
    peak = np.abs(np.fft.rfft(samples[:16_000, 0])).argmax()
    assert abs(int(peak) - 440) <= 1


def test_stereo_is_mixed_or_split(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.tile([[0.5, 0.0]], (16_000, 1)), 16_000)
    mixed, split = (MediaFile.open(tmp_path / "a.wav", channels) for channels in ("mix", "split"))
    assert (mixed.channels, split.channels) == (1, 2)
    np.testing.assert_allclose(read(split)[8000], [16384, 0], atol=2)
    assert 0 < read(mixed)[8000, 0] < 16384


def test_a_mono_file_has_nothing_to_split() -> None:
    assert MediaFile.open(CLIPS / "question.flac", "split").channels == 1


def test_chunks_have_one_length_but_for_the_last() -> None:
    lengths = [len(chunk) // 2 for chunk in MediaFile.open(CLIPS / "telephone.wav").chunks()]
    assert set(lengths[:-1]) == {CHUNK_SAMPLES}
    assert 0 < lengths[-1] <= CHUNK_SAMPLES


def test_the_duration_is_known_before() -> None:
    assert MediaFile.open(CLIPS / "telephone.wav").duration_ms == 6741


def test_a_broken_file_gives_what_it_has_and_then_says_where_it_broke(tmp_path: Path) -> None:
    path = tmp_path / "cut.flac"
    path.write_bytes((CLIPS / "prose.flac").read_bytes()[:80_000])
    chunks: list[bytes] = []
    with pytest.raises(UserError, match=r"cut\.flac: is broken after \d\.\d s"):
        chunks.extend(MediaFile.open(path).chunks())
    assert sum(map(len, chunks)) > 2 * 32_000


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "is empty"), (b"no audio at all, just text\n" * 50, "cannot be read as audio")]
)
def test_what_is_no_audio_is_refused_in_one_sentence(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.mp3").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.mp3: {reason}") as error:
        MediaFile.open(tmp_path / "a.mp3")
    assert "\n" not in str(error.value)


def test_a_file_without_samples_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16_000)
    with pytest.raises(UserError, match=r"a\.wav: has no sound in it"):
        list(MediaFile.open(tmp_path / "a.wav").chunks())


def test_missing_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        MediaFile.open(tmp_path / "nowhere.wav")
    with pytest.raises(UserError, match="is not a file"):
        MediaFile.open(tmp_path)
