"""docs/durability.md is what the kept results make of it, and every kind of result has its table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.figures import BOUNDS
from benchmarks.chaos.plan import BAG
from benchmarks.chaos.table import ROWS, draw
from benchmarks.durability.__main__ import PAGE
from benchmarks.durability.tables import chaos, cost, soak
from benchmarks.report import replace_between
from benchmarks.soak.table import draw as draw_soak

MADE: dict[str, Any] = {
    "date": "2026-11-24T12:00:00+00:00",
    "commit": "abc1234",
    "machine": {"processor": "CPU", "cores": 2, "features": ["avx2"], "load_1min": 1.5},
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "manifest": "manifest.tsv",
    "missed": [],
    "problems": [],
}
SPREAD = {"p50": 0.25, "p95": 0.75, "p99": 0.8, "count": 9}


def chaos_result() -> dict[str, Any]:
    return {
        **MADE,
        **{name: 0 for name, _ in ROWS},
        "streams": 2,
        "minutes": 5.0,
        "settings": {"seed": 1, "duty": 0.4, "gateways": 2, "workers": 1, "model": "tiny.en"},
        "acknowledged_s": 600.0,
        "finals": 40,
        "fault_count": 2,
        "faults": {"redis emptied": 1, "sockets cut": 1},
        "resume_s": SPREAD,
        "resume_s_with_unnoticed": SPREAD,
        "outage_s": None,
        "timeline": [
            {"kind": "redis emptied", "target": "redis", "began_s": 5.0, "ended_s": 7.0, "settled_s": 8.0},
            {"kind": "sockets cut", "target": "2 sockets", "began_s": 10.0, "ended_s": 10.0, "settled_s": None},
        ],
        "outages_by_stream": [[[10.0, 10.4]], []],
    }


def soak_result() -> dict[str, Any]:
    held = {"memory_mb": [100.0, 101.0], "descriptors": [20, None]}
    return {
        **MADE,
        "streams": 6,
        "minutes": 30.0,
        "settings": {"duty": 0.6, "session_s": [20.0, 60.0], "time_to_live_s": 20.0, "model": "tiny.en"},
        "sessions": 200,
        "errors_raised": 0,
        "sessions_without_summary": 0,
        "samples_unaccounted": 0,
        "gaps": 0,
        "keys_most": 30,
        "keys_without_expiry": 0,
        "longest_expiry_s": 60.0,
        "keys_left": 0,
        "growth": {"redis": {"memory_mb": 20.0, "memory": 0.011, "descriptors": -1.0}, "worker 1": None},
        "processes": {"redis": held, "worker 1": held},
        "at_s": [0.0, 5.0],
        "keys": [0, 24],
        "used_mb": [1.0, 2.0],
    }


def cost_result() -> dict[str, Any]:
    return {
        **MADE,
        "streams": 40,
        "turns": 2,
        "settings": {"seconds": 30.0, "duty": 1.0},
        "us_per_message": {"memory": [900.0, 910.0], "redis": [960.0, 970.0]},
        "cpu_added_share": 0.066,
        "redis_us_per_message": 60.0,
        "ttfs_ms": {"memory": {"p50": 4.0, "p95": 9.0, "count": 500}, "redis": None},
        "ttfs_added_ms": {"p50": 1.0, "p95": 5.0},
        "bytes_per_session": {"events": 18_000, "pcm": 450_000, "session": 7_000},
        "log_bytes_per_session_minute": 59_000,
    }


def test_the_document_is_what_the_kept_results_make_of_it() -> None:
    """After a new result: python -m benchmarks.durability."""
    text = PAGE.document.read_text("utf-8")
    assert replace_between(text, PAGE.markdown()) == text


def test_the_document_names_every_kind_of_fault() -> None:
    rows = re.findall(
        r"(?m)^\| ([a-z, ]+) \| ", PAGE.document.read_text("utf-8").partition("## What the figures mean")[0]
    )
    three = {"gateway frozen", "worker frozen", "redis frozen"}
    assert set(rows) - {"fault", "gateway, worker, redis frozen"} == set(BAG) - three


def test_a_name_without_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="one of chaos, soak, cost"):
        PAGE.keep("nonsense", {})


def test_every_table_says_when_where_and_with_what_it_was_measured() -> None:
    for table in (chaos(chaos_result()), soak(soak_result()), cost(cost_result())):
        assert "2026-11-24, commit abc1234; CPU, 2 cores (avx2), load 1.5 at the end" in table
        assert "All bounds were kept." in table
    assert "**Missed: finals_lost.**" in chaos({**chaos_result(), "missed": ["finals_lost"]})


def test_the_tables_have_the_figures_and_their_bounds() -> None:
    faults = chaos(chaos_result())
    assert "| of these: redis emptied | 1 |  |" in faults
    assert "0.25 / 0.75" in faults
    assert faults.count("| 0 | 0 |") == len(BOUNDS)
    assert "| redis: MB at the end / growth after minute 5 / of descriptors | 20.0 / +1.1% / -1 | +5% / +2 |" in soak(
        soak_result()
    )
    assert "| added by Redis, median of the turns | 6.6% | 10% |" in cost(cost_result())
    assert "| KB in Redis of a live session: messages | 18.0 |  |" in cost(cost_result())


def test_both_plots_are_drawn(tmp_path: Path) -> None:
    files = [*draw(chaos_result(), tmp_path), *draw_soak(soak_result(), tmp_path)]
    assert [file.name for file in files] == ["chaos.svg", "chaos.png", "soak.svg", "soak.png"]
    assert all(file.stat().st_size > 1000 for file in files)
