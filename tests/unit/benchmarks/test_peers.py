"""What is made of a peer's messages, and that its environment's runner is spoken to as it expects."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.peers import in_process
from benchmarks.peers.__main__ import table
from benchmarks.peers.timeline import Said, Timeline, stage_figures, within
from benchmarks.peers.venvs import PeerError


def timeline(*said: tuple[float, float], seconds: int = 4) -> Timeline:
    """One chunk a second, sent in real time from time 0; (when, until ms) of each message."""
    sent = [(float(second), second * 1000.0) for second in range(1, seconds + 1)]
    return Timeline(sent, [Said(at_s, until_ms, "words") for at_s, until_ms in said])


def test_lag_is_taken_just_before_and_just_after_each_message_that_tells_of_more() -> None:
    assert timeline((2.5, 1000.0), (4.5, 4000.0)).lags_ms() == [2000.0, 1000.0, 3000.0, 0.0, 0.0]


def test_a_message_that_tells_nothing_new_is_passed_over_and_what_is_never_told_counts_at_the_end() -> None:
    assert timeline((2.5, 1000.0), (3.5, 900.0)).lags_ms() == [2000.0, 1000.0, 3000.0]


def test_the_first_words_are_timed_from_the_first_chunk() -> None:
    assert timeline((2.5, 1000.0)).first_ms() == 1500.0
    assert timeline().first_ms() is None


def test_a_stage_is_within_the_budget_if_all_streams_were_served_and_lag_is_small() -> None:
    good, lost = timeline((1.1, 1000.0), (4.1, 4000.0)), Timeline(problem="full")
    assert within(stage_figures([good]), 3000.0)
    assert not within(stage_figures([good]), 1000.0)
    assert not within(stage_figures([good, lost]), 3000.0)
    assert not within(stage_figures([lost]), 3000.0)


RUNNER = """
import json, sys
task = json.loads(sys.stdin.readline())
print("a library says hello")
for stream, file in enumerate(task["files"]):
    print(json.dumps({"sent": [stream, 1.5, 100]}))
    print(json.dumps({"said": [stream, 2.5, 90.0, f"{len(open(file, 'rb').read())} bytes"]}))
"""


def test_a_runner_gets_the_clips_as_files_and_tells_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run_echo.py").write_text(RUNNER)
    monkeypatch.setattr(in_process, "RUNNERS", tmp_path)
    clips = [np.zeros(1600, np.int16), np.zeros(3200, np.int16)]
    first, second = in_process.run_stage(Path(sys.executable), "echo", [], clips, [0.0, 0.0], 100, 20.0)
    assert (first.sent, first.text) == ([(1.5, 100)], "3244 bytes")
    assert second.said == [Said(2.5, 90.0, "6444 bytes")]


def test_a_runner_that_fails_leaves_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run_broken.py").write_text("raise SystemExit('no model here')")
    monkeypatch.setattr(in_process, "RUNNERS", tmp_path)
    with pytest.raises(PeerError, match="no model here"):
        in_process.run_stage(Path(sys.executable), "broken", [], [np.zeros(1, np.int16)], [0.0], 100, 20.0)


def test_the_table_has_the_ratio_of_the_knees() -> None:
    lag = {"p50": 100.0, "p95": 1200.0, "p99": 1300.0}
    stage: dict[str, Any] = {"streams": 12, "partial_lag_ms": lag, "wer": 5.0}
    result = {
        "ours": {"knee": 12, "stages": [stage]},
        "peers": {"one": {"knee": 2, "stages": [stage]}, "none": {"knee": 0, "stages": [stage | {"wer": None}]}},
        "manifest": "m.tsv",
        "machine": {"processor": "CPU", "cores": 2},
    }
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table(result))
    text = console.export_text()
    assert "100 / 1200 / 1300" in text
    assert "> 12" in text
    assert any(line.split()[-4:-1] == ["2", "│", "6"] for line in text.splitlines() if "one" in line)
