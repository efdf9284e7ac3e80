"""docs/performance.md is what the kept results make of it, and every kind of result has its table."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.performance.__main__ import PAGE
from benchmarks.performance.tables import KINDS, engine, gateway, gpu, load, peers
from benchmarks.report import replace_between

MADE: dict[str, Any] = {
    "date": "2026-11-24T12:00:00+00:00",
    "commit": "abc1234",
    "machine": {"processor": "CPU", "cores": 2, "features": ["avx2"], "load_1min": 1.5},
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
}
LAG = {"p50": 200.0, "p95": 900.0, "p99": 1100.0}


def test_the_document_is_what_the_kept_results_make_of_it() -> None:
    """After a new result: python -m benchmarks.performance."""
    text = PAGE.document.read_text("utf-8")
    assert replace_between(text, PAGE.markdown()) == text


def test_a_name_without_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="one of load, load-call"):
        PAGE.keep("nonsense", {})


def test_every_table_says_when_where_and_with_what_it_was_measured() -> None:
    for table in (engine_table(), gateway_table(), load_table(), peers_table(), gpu_table()):
        assert "2026-11-24, commit abc1234; CPU, 2 cores (avx2), load 1.5 at the end" in table


def engine_table() -> str:
    row = {
        "streams": 4,
        "audio_s_per_s": 8.61,
        "step_ms": {"p50": 205.7, "p95": 389.3},
        "frames_per_audio_s": 154.9,
        "decoder_calls_per_audio_s": 4.62,
        "decoder_rows_per_audio_s": 27.4,
        "projected_rows_per_audio_s": 16.5,
        "ms_per_audio_s": {"encoder, finals": 24.79},
    }
    table = engine({"rows": [row], "threads": 1, "precision": "int8", "circumstances": MADE})
    assert "| encoder, finals, ms per second of audio | 24.8 |" in table
    assert "| seconds of audio per second | 8.6 |" in table
    assert "Threads: 1, int8." in table
    return table


def gateway_table() -> str:
    case = {"audio": "silence", "detector": "none", "us_per_message": 61.2, "cpu_share": 0.3, "kb_per_session": 90.4}
    table = gateway({"sessions": 500, "chunk_ms": 100, "cases": [case | {"broken": 0}], **MADE})
    assert "| silence, no detector | 61 | 0.30 | 90 | 0 |" in table
    return table


def load_table() -> str:
    stage = {
        "streams": 12,
        "partial_lag_ms": LAG,
        "ttfs_ms": LAG,
        "first_interim_ms": None,
        "upwr": 0.1,
        "wer": 5.0,
        "wer_alone": 4.9,
        "streams_with_other_words": 0,
        "errors": 0,
        "refused": 0,
        "gaps": 0,
        "processes": {
            "gateway": {"cpu_share": 0.3},
            "worker": {"cpu_share": 0.8},
            "worker 2": {"cpu_share": 0.7},
            "generator": {"cpu_share": 0.1},
        },
        "scheduler": {"jobs_per_batch": 3.14},
        "missed": [],
    }
    settings = {"duty": 1.0, "seconds": 45, "chunk_ms": 100, "serve_args": ""}
    table = load({"stages": [stage], "settings": settings, "manifest": "m.tsv", "knee": 12, **MADE})
    assert "Knee: **12 streams**" in table
    assert "| 12 | 200 / 900 / 1100 | 200 / 900 / 1100 | - | 0.10 | 5.0 / 4.9 | 0 | 0 / 0 / 0 | 1.50 / 0.30 |" in table
    return table


def peers_table() -> str:
    stages = [{"streams": streams, "partial_lag_ms": LAG, "wer": 5.0} for streams in (1, 2, 4)]
    found = {"knee": 2, "stages": stages}
    result = {
        "ours": {"knee": 12, "stages": [{"streams": 12, "partial_lag_ms": LAG, "wer": 5.0}]},
        "peers": {"one": found, "none": {"knee": 0, "stages": stages[:1]}},
        "manifest": "m.tsv",
        "seconds": 40.0,
        "lag_budget_ms": 1500.0,
        **MADE,
    }
    table = peers(result)
    assert "| one | 2 | 2 streams: 200 / 900 / 1100 | 4 streams: 200 / 900 / 1100 | 6 |" in table
    assert "| none | 0 | - | 1 streams: 200 / 900 / 1100 | more than 12 |" in table
    return table


def gpu_table() -> str:
    row = {"streams": 8, "step_ms": 20.0, "encode_ms": 8.0, "decode_ms": 12.0, "flops_per_s": 5e13, "bytes_per_s": 1e12}
    result = {
        "device": "some GPU",
        "dtype": "bfloat16",
        "ceilings": {"flops_per_s": 5e14, "bytes_per_s": 2e12},
        "geometries": {"large-v3": {"rows": [row, {"streams": 512, "problem": "out of memory"}], "streams_inside": 8}},
        **MADE,
    }
    table = gpu(result)
    assert "| large-v3 | 8 | 20.0 | 8.0 | 12.0 | 10% | 50% |" in table
    assert "| large-v3 | 512 | out of memory |" in table
    return table


def test_every_kind_has_a_heading() -> None:
    assert len({heading for heading, _ in KINDS.values()}) == len(KINDS)
