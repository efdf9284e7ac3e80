"""What a page does while captions come: how much it loads, how soon words are there, what moves and changes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from statistics import median
from typing import Any

from playwright.async_api import Browser, CDPSession, Page, Response

MEASURES = Path(__file__).with_name("measures.js")
FIRST_LOAD_BYTES = 100_000
LAYOUT_SHIFT = 0.02
HEAP_GROWTH = 0.05
"""From the second minute of a long run to its end."""
SETTLED_S = 120.0
SAMPLE_S = 15.0
LISTENS = "?start=microphone"
"""The page begins by itself, as if its button were pressed the moment that it is there."""


async def first_loads(browser: Browser, url: str, runs: int) -> dict[str, Any]:
    """Pages opened anew, each in a profile of its own, until their first word."""
    times: list[float] = []
    sizes: list[tuple[int, int]] = []
    for _ in range(runs):
        page = await _opened(browser)
        answers = _answers(page)
        await page.goto(url + LISTENS)
        await page.locator("tympan-captions .word").first.wait_for()
        times.append((await _measures(page))["firstWordMs"])
        counted = [await answer.request.sizes() for answer in answers]
        sizes.append((len(counted), sum(one["responseBodySize"] + one["responseHeadersSize"] for one in counted)))
        await page.context.close()
    return {
        "runs": runs,
        "first_load_requests": max(requests for requests, _ in sizes),
        "first_load_bytes": max(total for _, total in sizes),
        "first_word_ms": {"p50": round(median(times)), "max": round(max(times))},
    }


async def steadiness(browser: Browser, url: str, seconds: float) -> dict[str, Any]:
    """One page that listens for so long after its first word."""
    page = await _opened(browser)
    await page.goto(url + LISTENS)
    await page.locator("tympan-captions .word").first.wait_for()
    await page.evaluate("() => tympanForgetFrames()")
    await asyncio.sleep(seconds)
    found = await _measures(page)
    await page.context.close()
    minutes = seconds / 60
    return {
        "seconds": seconds,
        "layout_shift": round(found["layoutShift"], 4),
        "words_shown": found["shown"],
        "flicker_per_minute": round((found["changed"] + found["removed"]) / minutes, 1),
        "flicker_share": round((found["changed"] + found["removed"]) / max(1, found["shown"]), 4),
        "frames_per_s": round(found["frames"] / found["secondsOfFrames"], 1),
        "longest_frame_ms": round(found["longestFrameMs"]),
    }


async def endurance(browser: Browser, url: str, minutes: float) -> dict[str, Any]:
    """One page that listens on: its memory after a collection, elements and frames, every quarter of a minute."""
    page = await _opened(browser)
    await page.goto(url + LISTENS)
    await page.locator("tympan-captions .word").first.wait_for()
    tools = await page.context.new_cdp_session(page)
    await tools.send("Performance.enable")
    samples = []
    for number in range(round(minutes * 60 / SAMPLE_S)):
        await page.evaluate("() => tympanForgetFrames()")
        await asyncio.sleep(SAMPLE_S)
        frames = await _measures(page)
        heap_bytes, nodes = await _memory(tools)
        samples.append({
            "at_s": (number + 1) * SAMPLE_S,
            "heap_bytes": heap_bytes,
            "nodes": nodes,
            "frames_per_s": round(frames["frames"] / frames["secondsOfFrames"], 1),
        })  # fmt: skip
    finals = await page.evaluate("() => document.querySelector('tympan-captions').transcript.finals.length")
    await page.context.close()
    settled = [sample for sample in samples if sample["at_s"] >= min(SETTLED_S, minutes * 30)]
    third = max(1, len(settled) // 3)
    begin, end = (median(sample["heap_bytes"] for sample in part) for part in (settled[:third], settled[-third:]))
    return {
        "minutes": minutes,
        "finals": finals,
        "heap_mb": [round(begin / 1e6, 2), round(end / 1e6, 2)],
        "heap_growth": round(end / begin - 1, 4),
        "nodes": [settled[0]["nodes"], settled[-1]["nodes"]],
        "frames_per_s": {"median": median(sample["frames_per_s"] for sample in settled),
                         "least": min(sample["frames_per_s"] for sample in settled)},
        "samples": samples,
    }  # fmt: skip


def missed(result: dict[str, Any]) -> list[str]:
    """The bounds that were not kept."""
    bounds = (
        ("first_load_bytes", FIRST_LOAD_BYTES),
        ("layout_shift", LAYOUT_SHIFT),
        ("heap_growth", HEAP_GROWTH),
    )
    return [name for name, bound in bounds if result.get(name, 0) > bound]


async def _opened(browser: Browser) -> Page:
    context = await browser.new_context(viewport={"width": 1200, "height": 720})
    page = await context.new_page()
    await page.add_init_script(path=MEASURES)
    return page


def _answers(page: Page) -> list[Response]:
    """Those that come from now on."""
    found: list[Response] = []

    def keep(answer: Response) -> None:
        found.append(answer)

    page.on("response", keep)
    return found


async def _measures(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = await page.evaluate("() => tympanMeasures()")
    return found


async def _memory(tools: CDPSession) -> tuple[int, int]:
    """(bytes of the JavaScript heap in use, nodes of the document) once what is not needed any more is gone."""
    await tools.send("HeapProfiler.collectGarbage")
    metrics = {one["name"]: one["value"] for one in (await tools.send("Performance.getMetrics"))["metrics"]}
    return round(metrics["JSHeapUsedSize"]), round(metrics["Nodes"])
