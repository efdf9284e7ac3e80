"""Every state of every page, on a service that says what the test wants: what is shown, and that it can be read.

With SCREENSHOTS set to a folder, a picture of each state is put there (`make screenshots`).
"""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser

from streaming.protocol.messages import Error, Gap
from tests.support.browser import (
    CAPTIONS,
    DESK,
    PHONE,
    PICTURES,
    Tab,
    picture,
    tab,
)
from tests.support.stage import Stage, call_story, started, story

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

CLIPS = Path(__file__).parents[1] / "data"

TENTATIVE = f"{CAPTIONS}.shadowRoot.querySelectorAll('.tentative').length"


async def playing(page: Tab, clip: str) -> None:
    """A recording, at its own speed."""
    await page.page.set_input_files("#file", CLIPS / clip)
    await page.state("live")


async def test_an_empty_page_says_what_to_do(stage: Stage, browser: Browser) -> None:
    async with tab(browser, stage.url, viewport=DESK) as page:
        await page.page.wait_for_selector("text=tiny.en")
        await picture(page, "captions-empty")
        assert await page.page.is_disabled("#copy")
        assert await page.page.is_disabled("#share")
        assert page.problems == []


@pytest.mark.parametrize(
    ("name", "window", "dark"), [("", DESK, False), ("-dark", DESK, True), ("-phone", PHONE, False)]
)
async def test_a_live_page(stage: Stage, browser: Browser, name: str, window: dict[str, int], dark: bool) -> None:
    """Settled words are solid, others pale; sounds stand beside the words with their times."""
    async with tab(browser, stage.url, viewport=window, color_scheme="dark" if dark else "light") as page:
        await started(stage, page, 13)
        await stage.say(*story(stage.samples // 16 - 150))
        await page.until(f"{TENTATIVE} === 3")
        await picture(page, f"captions{name}")
        shown = page.page.locator("tympan-captions")
        assert await shown.locator(".tentative").all_inner_texts() == ["it", "stays.", "The"]
        assert await shown.locator(".chip").all_inner_texts() == ["Tick-tock\n0:06\N{EN DASH}0:08", "Rain\n0:09"]
        assert await page.page.inner_text("#language") == "English"
        assert await page.page.is_enabled("#copy")
        assert page.problems == []


async def test_menus(stage: Stage, browser: Browser) -> None:
    async with tab(browser, stage.url, viewport=DESK) as page:
        await started(stage, page, 4)
        await stage.say(*story()[:6])
        for menu in ("sound", "view", "save", "share"):
            await page.page.click(f"[popovertarget={menu}-menu]")
            await picture(page, f"menu-{menu}")
            await page.page.keyboard.press("Escape")
            assert await page.page.is_hidden(f"#{menu}-menu")


async def test_a_call_has_two_columns(stage: Stage, browser: Browser) -> None:
    """What is said at the same time stands side by side; what the call model notices are chips."""
    async with tab(browser, stage.url, viewport=DESK) as page:
        await playing(page, "call.flac")
        if PICTURES:
            await stage.heard(13)
        await stage.say(*call_story())
        await page.until(f"{TENTATIVE} === 2")
        await picture(page, "call")
        columns = page.page.locator("tympan-captions .group")
        assert await columns.count() == 3
        beside = columns.nth(2).locator(".utterance")
        left, right = [await beside.nth(n).bounding_box() for n in range(2)]
        assert left
        assert right
        assert left["y"] == right["y"]
        assert left["x"] + left["width"] <= right["x"]
        assert await page.page.locator("tympan-captions .head.speaking").all_inner_texts() == ["Customer"]
        await page.page.set_viewport_size(PHONE)
        await picture(page, "call-phone")
        assert page.problems == []


async def test_a_lost_connection_is_said_with_what_is_kept(stage: Stage, browser: Browser) -> None:
    async with tab(browser, stage.url, viewport=DESK) as page:
        await started(stage, page, 6)
        await stage.say(*story()[:4])
        await stage.cut(away=True)
        await page.until("document.getElementById('state').textContent === 'Reconnecting … 2 s of sound are kept'")
        await picture(page, "reconnecting")
        stage.away = False
        await page.until("document.getElementById('state').textContent === 'Listening again; nothing was lost'")


async def test_after_a_reload_the_words_are_there_and_the_session_waits(stage: Stage, browser: Browser) -> None:
    async with tab(browser, stage.url, viewport=DESK) as page:
        await started(stage, page)
        await stage.say(*story())
        await page.state("live")
        assert stage.streaming == 1
        await page.page.reload()
        await page.state("paused")
        await page.until(f"{TENTATIVE} === 3")
        await picture(page, "reloaded")
        assert await page.page.inner_text("#start") == "Go on"
        await page.page.click("#start")
        await page.state("live")
        notice = page.page.locator("tympan-captions .notice")
        assert await notice.all_inner_texts() == ["The page was loaded again here."]


async def test_missing_sound_is_said_where_it_is_missing(stage: Stage, browser: Browser) -> None:
    async with tab(browser, stage.url, viewport=DESK) as page:
        await started(stage, page)
        await stage.say(*story()[:2], Gap(from_sample=90_000, to_sample=140_000, reason="client"))
        assert await page.page.locator("tympan-captions .notice").inner_text() == "Some sound is missing here."


async def test_an_ended_session_can_be_taken_along(stage: Stage, browser: Browser) -> None:
    async with tab(browser, stage.url, viewport=DESK) as page:
        await started(stage, page)
        await stage.say(*[message for message in story() if getattr(message, "final", False)])
        await page.page.click("#start")
        await page.state("idle")
        for form, begin in (("srt", "1\n00:00:00,000 --> "), ("vtt", "WEBVTT\n"), ("json", "{"), ("txt", "Hello, and")):
            await page.page.click("#save")
            async with page.page.expect_download() as saved:
                await page.page.click(f"[data-form={form}]")
            written = await asyncio.to_thread(Path(await (await saved.value).path()).read_text, "utf-8")
            assert written.startswith(begin)
            assert (await saved.value).suggested_filename.endswith(f".{form}")
        assert page.problems == []


async def test_a_microphone_that_is_not_allowed_is_explained(stage: Stage, deaf_browser: Browser) -> None:
    async with tab(deaf_browser, stage.url, viewport=PHONE) as page:
        await page.page.click("#start")
        await page.state("problem")
        assert await page.page.inner_text("#trouble-title") == "The microphone is blocked"
        await picture(page, "denied-phone")
        await page.page.click("#trouble-close")
        await page.page.set_input_files("#file", CLIPS / "question.flac")
        await page.state("live")


@pytest.mark.parametrize(
    ("code", "title"),
    [
        ("overloaded", "The server is full"),
        ("engine_unavailable", "The model is not ready"),
        ("unsupported", "That did not work"),
    ],
)
async def test_a_refusal_is_explained(stage: Stage, browser: Browser, code: str, title: str) -> None:
    stage.refusal = Error(code=code, message="a sentence of the server")
    async with tab(browser, stage.url, viewport=DESK) as page:
        await page.page.click("#start")
        await page.state("problem")
        assert await page.page.inner_text("#trouble-title") == title
        await picture(page, f"refused-{code}")
        stage.refusal = None
        await page.page.click("#trouble-again")
        await page.state("live")


async def test_a_server_that_is_away_is_said(stage: Stage, browser: Browser) -> None:
    async with tab(browser, stage.url, viewport=DESK) as page:
        stage.away = True
        await page.page.click("#start")
        await page.state("problem")
        assert await page.page.inner_text("#trouble-title") == "The connection is gone"


async def test_a_file_that_is_none_is_named(stage: Stage, browser: Browser) -> None:
    async with tab(browser, stage.url, viewport=DESK) as page:
        await page.page.set_input_files("#file", CLIPS / "manifest.tsv")
        await page.state("problem")
        assert await page.page.inner_text("#trouble-text") == "manifest.tsv cannot be read as audio by this browser."
        await picture(page, "no-audio")
