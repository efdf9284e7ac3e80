"""The accuracy benchmark from end to end: real service, real model, the repository's own clips."""

import json
from pathlib import Path

import pytest

from benchmarks.accuracy.__main__ import main

ROOT = Path(__file__).parents[2]
ISSUED_KEYS = {
    "wer_streaming",
    "wer_offline",
    "upwr",
    "stable_violations",
    "final_corrections",
    "loops",
    "frames_per_frame",
    "decoder_calls_per_s",
    "first_interim_ms",
    "ttfs_ms",
    "partial_lag_ms",
}


@pytest.fixture
def short_list(tmp_path: Path) -> Path:
    """One clip of some seconds."""
    clips = ROOT / "tests" / "data"
    name, transcript = next(
        line.split("\t")
        for line in (clips / "manifest.tsv").read_text(encoding="utf-8").splitlines()
        if line.startswith("question")
    )
    manifest = tmp_path / "short.tsv"
    manifest.write_text(f"path\ttranscript\n{clips / name}\t{transcript}\n", encoding="utf-8")
    return manifest


def test_one_clip_gives_every_figure(
    short_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Starts the service, streams in lock step and in real time, decodes offline, prints and writes what it found."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(ROOT)
    out = tmp_path / "out" / "figures.json"
    assert main(["--manifest", str(short_list), "--json", str(out), "--paced", "1"]) == 0
    result = json.loads(out.read_text(encoding="utf-8"))
    assert all(result[key] is not None for key in ISSUED_KEYS)
    assert set(result["ttfs_ms"]) >= {"p50", "p95", "p99"}
    assert result["wer_streaming"] <= 20
    assert (result["stable_violations"], result["loops"], len(result["rows"])) == (0, 0, 1)
    assert "TTFS" in capsys.readouterr().out


def test_a_missing_manifest_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--manifest", str(tmp_path / "none.tsv")]) == 2
    assert capsys.readouterr().err.startswith("benchmarks.accuracy: cannot read the manifest")
