"""What a page asks for before anything is said: little, all of it ours, all of it at once."""

import re
from dataclasses import dataclass

import pytest
from playwright.async_api import Browser, Response

from tests.support.browser import tab
from tests.support.stage import Stage, story

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

FIRST_LOAD_BYTES = 100_000
PAGES = ("", "watch/talk", "calls")


@pytest.fixture(autouse=True)
def talk(stage: Stage) -> None:
    stage.session("talk", stage.audio, *story())


@dataclass
class Loaded:
    answers: list[Response]
    compressed_bytes: int
    """Of all bodies, as they were sent."""
    header_bytes: int
    problems: list[str]


async def loaded(browser: Browser, url: str) -> Loaded:
    """All that a page got, and what its console complained of."""
    answers: list[Response] = []
    async with tab(browser, "about:blank") as page:
        page.page.on("response", lambda answer: answers.append(answer))
        await page.page.goto(url, wait_until="networkidle")
        sizes = [await answer.request.sizes() for answer in answers]
        bodies = sum(size["responseBodySize"] for size in sizes)
        return Loaded(answers, bodies, sum(size["responseHeadersSize"] for size in sizes), page.problems)


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_small_ours_and_without_complaints(stage: Stage, browser: Browser, path: str) -> None:
    page = await loaded(browser, stage.url + path)
    assert all(answer.url.startswith(stage.url) for answer in page.answers)
    assert 10_000 < page.compressed_bytes + page.header_bytes <= FIRST_LOAD_BYTES
    assert {answer.status for answer in page.answers} == {200}
    assert page.problems == []


@pytest.mark.parametrize("path", PAGES)
async def test_every_module_is_named_in_the_page(stage: Stage, browser: Browser, path: str) -> None:
    """So the browser asks for all of them at once, and not for one after the other as each names the next."""
    async with tab(browser, stage.url + path) as page:
        named = "() => [...document.querySelectorAll('[rel=modulepreload], script')].map((one) => one.href ?? one.src)"
        used = """() => performance.getEntriesByType('resource').map(({ name }) => name)
            .filter((name) => name.endsWith('.js') && !name.includes('worklet'))"""
        assert sorted(await page.evaluate(named)) == sorted(set(await page.evaluate(used)))


@pytest.mark.parametrize("path", PAGES)
async def test_nothing_is_written_into_the_page_that_the_policy_forbids(
    stage: Stage, browser: Browser, path: str
) -> None:
    async with tab(browser, "about:blank") as page:
        answer = await page.page.goto(stage.url + path)
        assert answer is not None
        text = await answer.text()
    assert re.search(r"<script(?! type=\"module\" src=)|<style|\s(style|on\w+)=", text) is None


async def test_pages_are_compressed_and_asked_for_again(stage: Stage, browser: Browser) -> None:
    page = await loaded(browser, stage.url)
    scripts = [answer for answer in page.answers if answer.url.endswith("page/app.js")]
    assert [answer.headers["content-encoding"] for answer in scripts] == ["gzip"]
    assert {answer.headers["cache-control"] for answer in scripts} == {"no-cache"}
