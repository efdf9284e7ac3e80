"""What a page asks for before anything is said: little, all of it ours, all of it at once."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Response

from tests.support.browser import tab
from tests.support.stage import Stage, story

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

FIRST_LOAD_BYTES = 100_000
FOLDER = Path(__file__).parents[2] / "clients" / "web" / "page"
PAGES = {"": "index.html", "watch/talk": "watch.html", "calls": "calls.html"}


@pytest.mark.parametrize(("path", "file"), PAGES.items())
async def test_a_page_is_small_ours_and_without_complaints(
    stage: Stage, browser: Browser, path: str, file: str
) -> None:
    """And all of its modules are named in it, so that the browser asks for them at once."""
    stage.session("talk", stage.audio, *story())
    answers: list[Response] = []
    async with tab(browser, "about:blank") as page:
        page.page.on("response", lambda answer: answers.append(answer))
        await page.page.goto(stage.url + path, wait_until="networkidle")
        sizes = [await answer.request.sizes() for answer in answers]
        assert page.problems == []
    assert all(answer.url.startswith(stage.url) for answer in answers)
    assert {answer.status for answer in answers} == {200}
    assert 10_000 < sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes) <= FIRST_LOAD_BYTES
    named = re.findall(r'(?:href|src)="(?:\.\./)?([\w/-]+\.js)"', (FOLDER / file).read_text("utf-8"))
    loaded = [answer.url.removeprefix(stage.url) for answer in answers if answer.url.endswith(".js")]
    assert sorted(loaded) == sorted(named)


@pytest.mark.parametrize("file", PAGES.values())
def test_nothing_is_written_into_a_page_that_the_policy_forbids(file: str) -> None:
    text = (FOLDER / file).read_text("utf-8")
    assert re.search(r"<script(?! type=\"module\" src=)|<style|\s(style|on\w+)=", text) is None


async def test_pages_are_compressed_and_asked_for_again(stage: Stage) -> None:
    async with httpx.AsyncClient(base_url=stage.url) as http:
        script = await http.get("/page/app.js")
    assert script.headers["content-encoding"] == "gzip"
    assert script.headers["cache-control"] == "no-cache"
