"""The report generator, and that docs/accuracy.md is what it writes."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import (
    BEGIN,
    DOCUMENT,
    END,
    RESULTS,
    file_name,
    keep,
    markdown,
    read_results,
    replace_between,
)

RESULT: dict[str, Any] = {
    "wer_streaming": 5.4,
    "wer_offline": 4.6,
    "wer_streaming_digits_apart": 5.1,
    "wer_offline_digits_apart": 4.4,
    "upwr": 0.3,
    "upwr_exact": 0.4,
    "flicker_per_word": 0.4,
    "stable_violations": 0,
    "stable_words": 100,
    "final_corrections": 0.01,
    "final_corrections_exact": 0.02,
    "loops": 0,
    "loops_offline": 1,
    "frames_per_frame": 3.1,
    "frames_per_speech_frame": 3.3,
    "decoder_calls_per_s": 7.5,
    "decoder_calls_per_audio_s": 6.9,
    "first_interim_ms": None,
    "ttfs_ms": {"p50": 200.0, "p95": 300.0, "p99": 310.0, "count": 12},
    "partial_lag_ms": {"p50": 600.0, "p95": 950.0, "p99": 990.0, "count": 80},
    "clips": 47,
    "audio_s": 330.4,
    "audio_s_per_s": 9.1,
    "utterances": 60,
    "overloads": 0,
    "endpoint_silence_ms": 800,
    "invariance": {"8 streams": {"clips": 47, "differ": 0, "differ_with_times": 1, "which": []}},
    "manifest": "list.tsv",
    "settings": {"model": "tiny.en", "interim": "stable", "chunk_ms": 20, "streams": 4},
    "date": "2026-11-22T10:00:00+00:00",
    "machine": {"processor": "a processor", "cores": 2, "features": ["amx_bf16"], "load_1min": 0.5},
    "versions": {"python": "3.11", "torch": "2.13.0"},
    "commit": "abcdef0",
    "rows": [{"reference": "someone's words"}],
}


def row_of(table: str, name: str) -> list[str]:
    """The cells of the table row that begins with the name."""
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {name}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def written(tmp_path: Path, group: str = "lists", **changes: Any) -> str:
    keep(tmp_path, group, "prose", RESULT | changes)
    return markdown(read_results(tmp_path))


def test_a_kept_result_has_no_rows(tmp_path: Path) -> None:
    """The corpora's texts stay with the corpora."""
    keep(tmp_path, "lists", "prose", RESULT)
    (file,) = tmp_path.rglob("*.json")
    assert "someone's words" not in file.read_text()


def test_figures_stand_beside_their_bounds(tmp_path: Path) -> None:
    table = written(tmp_path)
    assert row_of(table, "WER, finals")[1:] == ["5.40 %", "≤ 5.60 %", "met"]
    assert row_of(table, "UPWR")[1:] == ["0.300 (case and punctuation too: 0.400)", "≤ 0.25", "**missed**"]
    assert row_of(table, "partial lag")[2:] == ["p95 ≤ 900 ms", "**missed**"]
    assert row_of(table, "other finals with 8 streams")[3] == "met"


def test_what_was_not_measured_is_neither_met_nor_missed(tmp_path: Path) -> None:
    assert row_of(written(tmp_path), "first interim")[1:] == ["not measured", "", ""]


def test_append_only_allows_no_correction_at_all(tmp_path: Path) -> None:
    table = written(tmp_path, settings=RESULT["settings"] | {"interim": "append_only"})
    assert row_of(table, "stable words corrected")[2:] == ["≤ 0.0%", "**missed**"]


def test_the_endpoints_silence_stands_beside_the_ttfs(tmp_path: Path) -> None:
    assert "800 ms of silence" in row_of(written(tmp_path), "TTFS")[0]


def test_a_trade_off_has_one_row_per_setting(tmp_path: Path) -> None:
    keep(tmp_path, "step", "0.5 s", RESULT)
    keep(tmp_path, "step", "1.0 s", RESULT | {"wer_streaming": 6.0})
    table = markdown(read_results(tmp_path))
    assert [row_of(table, label)[1] for label in ("0.5 s", "1.0 s")] == ["5.40", "6.00"]


def test_only_the_text_between_the_markers_is_replaced() -> None:
    assert replace_between(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"


@pytest.mark.parametrize("text", ["", BEGIN, END + BEGIN, BEGIN + END + BEGIN + END])
def test_a_document_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="once"):
        replace_between(text, "new")


def test_labels_make_safe_file_names() -> None:
    assert file_name("R = 0.5 s / tail 750") == "r-0.5-s-tail-750"


def test_the_plots_are_drawn_from_the_same_results(tmp_path: Path) -> None:
    """SVG and PNG for the lists and for each trade-off."""
    from benchmarks.plots import draw

    keep(tmp_path / "kept", "lists", "prose", RESULT)
    keep(tmp_path / "kept", "step", "0.5 s", RESULT)
    draw(read_results(tmp_path / "kept"), tmp_path)
    drawn = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert drawn == {"accuracy.svg", "accuracy.png", "step.svg", "step.png"}


def test_the_accuracy_page_is_what_the_kept_results_say() -> None:
    """After a new result: python -m benchmarks.report."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == replace_between(text, markdown(read_results(RESULTS)))
