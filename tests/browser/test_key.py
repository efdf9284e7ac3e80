"""The captions page at a server that wants an API key."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from streaming.config import AuthSettings
from tests.support.browser import launched, tab
from tests.support.live import Live, live_server

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

KEY = "the-key-of-a-page"
CLIP = Path(__file__).parents[1] / "data" / "question.flac"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live() -> AsyncIterator[Live]:
    async with live_server(auth=AuthSettings(keys=(KEY,))) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with launched() as chromium:
        yield chromium


async def test_the_key_may_stand_behind_the_address(browser: Browser, live: Live) -> None:
    """It is never sent but in the handshake, so no server's log has it."""
    async with tab(browser, f"http://{live.host}/#key={KEY}") as page:
        await page.page.set_input_files("#file", CLIP)
        await page.state("live", "finishing", "idle")
        assert await page.page.is_hidden("#trouble")


async def test_without_one_the_page_asks_for_it_and_goes_on(browser: Browser, live: Live) -> None:
    """It is remembered for the tab: a second session does not ask again."""
    async with tab(browser, f"http://{live.host}/") as page:
        await page.page.set_input_files("#file", CLIP)
        await page.page.wait_for_selector("#key-form", state="visible")
        assert await page.page.inner_text("#trouble-title") == "This server wants an API key"
        await page.page.fill("#key", KEY)
        await page.page.click("#key-form button")
        await page.state("live", "finishing", "idle")
        await page.page.reload()
        await page.page.set_input_files("#file", CLIP)
        await page.state("live", "finishing", "idle")


async def test_one_that_is_not_good_is_asked_for_again(browser: Browser, live: Live) -> None:
    async with tab(browser, f"http://{live.host}/#key=another-key-of-nobody") as page:
        await page.page.set_input_files("#file", CLIP)
        await page.page.wait_for_selector("#key-form", state="visible")
