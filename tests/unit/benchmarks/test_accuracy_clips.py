"""Manifests and clips as the accuracy benchmark reads them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.accuracy.clips import ManifestError, fingerprint, load_clip, model_input, read_manifest, spread


def manifest(folder: Path, *lines: str, header: str = "path\ttranscript") -> Path:
    file = folder / "list.tsv"
    file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return file


def write_clip(file: Path, rate: int, channels: int = 1, seconds: float = 0.5) -> None:
    values = 0.5 * np.sin(np.arange(int(rate * seconds)) * 0.05)
    soundfile.write(file, np.repeat(values[:, None], channels, axis=1), rate, subtype="PCM_16")


def test_quotes_in_transcripts_are_part_of_the_text(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.wav", 16_000)
    (row,) = read_manifest(manifest(tmp_path, 'a.wav\tPress "one" now'))
    assert (row.path, row.transcript, row.file) == ("a.wav", 'Press "one" now', tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("lines", "header", "complaint"),
    [
        ([], "path\ttranscript", "lists no clips"),
        (["a.wav\thello"], "path\ttext", "has no column transcript"),
        (["gone.wav\thello"], "path\ttranscript", "gone.wav"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_named(tmp_path: Path, lines: list[str], header: str, complaint: str) -> None:
    with pytest.raises(ManifestError, match=complaint):
        read_manifest(manifest(tmp_path, *lines, header=header))


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot read the manifest"):
        read_manifest(tmp_path / "nothing.tsv")


def test_a_file_without_audio_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"not audio")
    (row,) = read_manifest(manifest(tmp_path, "a.wav\thello"))
    with pytest.raises(ManifestError, match=r"cannot read a\.wav"):
        load_clip(row)


def test_telephone_audio_is_sent_at_its_own_rate(tmp_path: Path) -> None:
    """8 kHz goes over the wire; the reference hears it at 16 kHz."""
    write_clip(tmp_path / "a.wav", 8_000)
    clip = load_clip(read_manifest(manifest(tmp_path, "a.wav\thello"))[0])
    assert (clip.sample_rate, len(clip.samples), clip.samples.dtype) == (8_000, 4_000, np.int16)
    assert (len(model_input(clip)), model_input(clip).dtype) == (8_000, np.float32)


def test_other_rates_and_channels_become_16_khz_mono(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.wav", 22_050, channels=2)
    clip = load_clip(read_manifest(manifest(tmp_path, "a.wav\thello"))[0])
    assert (clip.sample_rate, clip.samples.shape) == (16_000, (8_000,))


def test_the_fingerprint_is_of_the_audio_not_of_the_name(tmp_path: Path) -> None:
    for name, seconds in (("a.wav", 0.5), ("b.wav", 0.5), ("c.wav", 0.4)):
        write_clip(tmp_path / name, 16_000, seconds=seconds)
    rows = read_manifest(manifest(tmp_path, "a.wav\tx", "b.wav\ty", "c.wav\tz"))
    a, b, c = (fingerprint(load_clip(row)) for row in rows)
    assert a == b != c


def test_a_limit_takes_clips_spread_over_the_list() -> None:
    assert spread(list(range(10)), 4) == [0, 3, 6, 9]
    assert spread([1, 2], 5) == [1, 2]
    assert spread([1, 2], 1) == [1]
