"""The figures of the captions page as tables in Markdown. Pure."""

from __future__ import annotations

from benchmarks.performance.tables import Result, measured_on, rows
from benchmarks.web.measure import FIRST_LOAD_BYTES, HEAP_GROWTH, LAYOUT_SHIFT


def page_table(result: Result) -> str:
    word = result["first_word_ms"]
    lines = [
        ("first load, compressed, with headers", _kb(result["first_load_bytes"]), _kb(FIRST_LOAD_BYTES)),
        ("first load, requests", str(result["first_load_requests"]), ""),
        (f"page open to first word, p50 of {result['runs']}", f"{word['p50']} ms", ""),
        ("page open to first word, longest", f"{word['max']} ms", ""),
        ("layout shift", f"{result['layout_shift']:.4f}", f"{LAYOUT_SHIFT}"),
        ("words shown", str(result["words_shown"]), ""),
        ("flicker: shown words that changed or went, per minute", f"{result['flicker_per_minute']:.1f}", ""),
        ("flicker, of all words shown", f"{100 * result['flicker_share']:.1f} %", ""),
        ("frames per second", f"{result['frames_per_s']:.1f}", ""),
        ("longest frame", f"{result['longest_frame_ms']} ms", ""),
    ]
    return f"{_where(result)}\n\n{rows(('figure', 'value', 'bound'), lines)}"


def long_table(result: Result) -> str:
    heap, nodes, frames = result["heap_mb"], result["nodes"], result["frames_per_s"]
    lines = [
        ("minutes", f"{result['minutes']:g}", ""),
        ("utterances", str(result["finals"]), ""),
        ("JavaScript heap, third minute → end", f"{heap[0]} → {heap[1]} MB", ""),
        ("growth", f"{100 * result['heap_growth']:.1f} %", f"{100 * HEAP_GROWTH:.0f} %"),
        ("nodes of the document", f"{nodes[0]} → {nodes[1]}", ""),
        ("frames per second, median / least of a quarter of a minute", f"{frames['median']} / {frames['least']}", ""),
    ]
    return f"{_where(result)}\n\n{rows(('figure', 'value', 'bound'), lines)}"


def _where(result: Result) -> str:
    return f"{measured_on(result)} Chromium {result['browser']}, headless, without a GPU; tiny.en beside it."


def _kb(count: int) -> str:
    return f"{count / 1000:.1f} kB"
