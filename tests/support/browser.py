"""Debian's Chromium, driven by Playwright: just what the tests of the pages need."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, ViewportSize

from benchmarks.web import browser as web_browser
from benchmarks.web.browser import chromium, fake_microphone, write_voice

__all__ = ["Tab", "fake_microphone", "launched", "picture", "tab", "write_voice"]

DESK: ViewportSize = {"width": 1200, "height": 720}
PHONE: ViewportSize = {"width": 360, "height": 720}
PICTURES = Path(os.environ["SCREENSHOTS"]) if os.environ.get("SCREENSHOTS") else None
"""Where pictures of the pages' states are put, where they are wanted: `make screenshots`."""
CONTRAST = (Path(__file__).parents[1] / "browser" / "contrast.js").read_text("utf-8")
CUT_OFF = """() => document.documentElement.scrollWidth <= innerWidth ? "" : [...document.querySelectorAll("body *")]
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5)
    .map((one) => one.tagName + (one.id && `#${one.id}`)).join(", ")"""
CAPTIONS = "document.querySelector('tympan-captions:not([hidden])')"
TEXT = "(one) => one.textContent.replace(/\\s+/g, ' ').trim()"
"""Of an element, as a script's function; lines that are kept together have spaces of their own."""
SHOWN = f"[...{CAPTIONS}.shadowRoot.querySelectorAll('.text')].map({TEXT})"
ALL_SHOWN = f"""{SHOWN}.join('').replaceAll(' ', '')
    === {CAPTIONS}.transcript.utterances.flatMap(({{ words }}) => words.map(({{ text }}) => text)).join('')"""
PATIENCE_S = 30.0
POLL_S = 0.05


def launched(*flags: str) -> contextlib.AbstractAsyncContextManager[Browser]:
    """A browser without a tab. Where there is none the test is skipped, but fails where CI is set."""
    command = chromium()
    if command is None:
        reason = "no Chromium is installed: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return web_browser.launched(command, *flags)


@dataclass
class Tab:
    """A tab in a profile of its own. `problems`: uncaught exceptions and what the console calls errors."""

    page: Page
    problems: list[str] = field(default_factory=list)

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        return await self.page.evaluate(script, argument)

    async def until(self, expression: str, timeout_s: float = PATIENCE_S) -> Any:
        """The first value of the expression that is true."""
        end = asyncio.get_running_loop().time() + timeout_s
        while not (value := await self.page.evaluate(f"() => {expression}")):
            if asyncio.get_running_loop().time() > end:
                text = await self.page.evaluate("() => document.body.innerText")
                raise AssertionError(f"{expression} did not come true; {self.problems}; the page says:\n{text}")
            await asyncio.sleep(POLL_S)
        return value

    async def state(self, *names: str, timeout_s: float = PATIENCE_S) -> None:
        """Waits until the page's state has one of the names."""
        wanted = "[" + ", ".join(f"'{name}'" for name in names) + "]"
        await self.until(f"{wanted}.includes(document.getElementById('state').dataset.state)", timeout_s)

    async def words(self) -> str:
        """What the captions show, utterance by utterance, once all words that have come are shown."""
        await self.until(ALL_SHOWN)
        text: str = await self.page.evaluate(f"() => {SHOWN}.join('\\n')")
        return text


@contextlib.asynccontextmanager
async def tab(browser: Browser, url: str, **options: Any) -> AsyncIterator[Tab]:
    """`options`: those of Playwright's `new_context`."""
    context = await browser.new_context(reduced_motion="reduce", **options)
    try:
        opened = Tab(await context.new_page())
        opened.page.on("pageerror", lambda error: opened.problems.append(str(error)))
        opened.page.on(
            "console", lambda said: opened.problems.append(said.text) if said.type in ("error", "warning") else None
        )
        await opened.page.goto(url)
        yield opened
    finally:
        await context.close()


async def picture(page: Tab, name: str) -> None:
    """Of what is visible, where pictures are wanted; and the check that it can be read, everywhere."""
    cut_off = await page.evaluate(CUT_OFF)
    assert not cut_off, f"wider than the window: {cut_off}"
    hard_to_read = await page.evaluate(CONTRAST)
    assert not hard_to_read, f"too little contrast: {hard_to_read}"
    if PICTURES:
        await page.page.screenshot(path=PICTURES / f"{name}.png")
