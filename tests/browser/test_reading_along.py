"""The viewer's page and the board of calls, on a service that says what the test wants."""

import asyncio
from itertools import pairwise

import pytest
from playwright.async_api import Browser

from streaming.protocol.messages import Call, Summary
from tests.support.browser import DESK, PHONE, PICTURES, TEXT, picture, tab
from tests.support.stage import CALL, Stage, being_said, call_story, said, speech, story

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


def shown(element: str) -> str:
    """The words that an element shows, as a script's expression."""
    return f"[...document.getElementById('{element}').shadowRoot.querySelectorAll('.text')].map({TEXT}).join(' ')"


async def test_a_viewer_that_comes_late_has_all_and_reads_on(stage: Stage, browser: Browser) -> None:
    """What was said is there at once; what is being said comes a word at a time."""
    stage.session("talk", stage.audio, *story())
    async with tab(browser, f"{stage.url}watch/talk", viewport=DESK) as page:
        await page.state("live")
        await page.until(f"{shown('lines')}.endsWith('it stays. The')")
        await picture(page, "watch")
        whole = "A moment later it settles, and it stays. The microphone never waits"
        await stage.say(said(3, whole, 9_800), session="talk")
        await page.until(f"{shown('lines')}.endsWith('The microphone never waits')")
        await page.page.click("#transcript")
        await picture(page, "watch-transcript")
        assert (await page.evaluate(f"() => {shown('log')}")).startswith("Hello, and welcome")
        assert page.problems == []


async def test_words_come_at_reading_speed(stage: Stage, browser: Browser) -> None:
    """Twenty characters a second, and no word is held back for longer than a second and a half."""
    stage.session("talk", stage.audio)
    async with tab(browser, f"{stage.url}watch/talk", viewport=DESK) as page:
        await page.page.wait_for_selector("#waiting", state="visible")
        await picture(page, "watch-waiting")
        text = "Ten short words of five signs each make sixty here."
        script = """() => new Promise((resolve) => {
            const body = document.getElementById('lines').shadowRoot.querySelector('.body');
            const times = [];
            new MutationObserver(() => {
                const count = body.querySelectorAll('.word').length;
                while (times.length < count) times.push(performance.now());
                if (count === 10) resolve(times.map((time) => time - times[0]));
            }).observe(body, { childList: true, subtree: true });
        })"""
        watching = asyncio.create_task(page.evaluate(script))
        await page.evaluate("() => 0")  # commands are taken in turn
        await stage.say(said(1, text, 0), session="talk")
        times = await watching
        assert 1_200 <= times[-1] <= 1_600
        assert max(after - before for before, after in pairwise(times)) < 400


async def test_what_was_said_can_be_said_again(stage: Stage, browser: Browser) -> None:
    """Back ten seconds: the words come again at the times at which they were said, until the present is reached."""
    stage.session("talk", stage.audio, *story(13_000))
    async with tab(browser, f"{stage.url}watch/talk", viewport=DESK) as page:
        await page.until(f"{shown('lines')}.endsWith('The')")
        await page.page.keyboard.press("ArrowLeft")
        assert await page.page.is_visible("#past")
        assert "becoming a caption" not in await page.evaluate(f"() => {shown('past')}")
        await page.until(f"{shown('past')}.includes('you hear is')")
        assert await page.page.get_attribute("#live", "aria-pressed") == "false"
        await page.page.keyboard.press("l")
        assert await page.page.is_visible("#lines")
        assert page.problems == []


async def test_a_session_that_ended_can_be_read(stage: Stage, browser: Browser) -> None:
    stage.session("talk", stage.audio, *story()[:2], Summary(audio_ms=9_000, speech_ms=8_000, utterances=1, words=2))
    async with tab(browser, f"{stage.url}watch/talk", viewport=PHONE) as page:
        await page.state("idle")
        assert await page.page.inner_text("#state") == "Ended"
        assert await page.page.locator("#log").is_visible()
        await picture(page, "watch-ended-phone")


async def test_a_link_that_leads_nowhere_is_explained(stage: Stage, browser: Browser) -> None:
    async with tab(browser, f"{stage.url}watch/nobody", viewport=PHONE) as page:
        await page.state("problem")
        assert await page.page.inner_text("#trouble-title") == "There is no such session"
        await picture(page, "watch-unknown-phone")


async def test_an_overlay_is_lines_on_nothing(stage: Stage, browser: Browser) -> None:
    look = "?overlay&lines=2&size=44&align=left&color=ffe9a8"
    stage.session("call", CALL, *story())
    async with tab(browser, f"{stage.url}watch/call{look}", viewport={"width": 1280, "height": 360}) as page:
        await page.until("document.getElementById('lines').shadowRoot.querySelector('.tentative')")
        assert await page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgba(0, 0, 0, 0)"
        lines = page.page.locator("#lines")
        assert await lines.evaluate("(one) => getComputedStyle(one).color") == "rgb(255, 233, 168)"
        box = await lines.bounding_box()
        assert box
        assert box["height"] == pytest.approx(2 * 1.35 * 44, abs=2)
        assert await page.page.locator(".bar").is_hidden()
        if PICTURES:
            await page.evaluate("() => document.documentElement.style.setProperty('--overlay-background', '#31473f')")
            await page.page.screenshot(path=PICTURES / "overlay.png")


async def test_the_board_shows_who_talks_and_who_waits(stage: Stage, browser: Browser) -> None:
    stage.session("call-1", CALL, *call_story()[:-3])
    stage.session("call-2", CALL, said(1, "One moment, please. I will look that up for you.", 0),
                  Call(kind="hold", channel=0, start_ms=6_000, phase="start", reason="music"))  # fmt: skip
    stage.session("call-3", CALL, said(1, "Thank you for calling the city library.", 0), speech(2, "started", 3_000, 1),
                  being_said(2, "Good evening. Are you open", "on Saturday", 3_000, 1))  # fmt: skip
    stage.session("call-4", stage.audio, *story())
    calls = [("call-1", 2, 13), ("call-2", 2, 41), ("call-3", 2, 5), ("call-4", 1, 13)]
    stage.listed = {"live": 4, "sessions": [
        {"session": name, "audio": {"channels": channels}, "seconds": seconds} for name, channels, seconds in calls
    ]}  # fmt: skip
    async with tab(browser, f"{stage.url}calls", viewport=DESK) as page:
        await page.until("document.querySelectorAll('.voice.speaking').length === 4")
        await picture(page, "calls")
        flags = await page.page.locator(".call .flag").all_inner_texts()
        assert sorted(flags) == ["On hold", "Talk-over"]
        assert await page.page.inner_text("#state") == "4 live calls"
        await page.page.click("text=Attention")
        assert await page.page.locator(".call:visible").count() == 2
        await stage.say(Summary(audio_ms=50_000, speech_ms=1, utterances=1, words=1), session="call-2")
        await page.page.wait_for_selector(".call.ended", state="attached")
        await page.page.click("text=Talk-over")
        await page.page.wait_for_url("**/watch/call-1")
        assert page.problems == []


@pytest.mark.parametrize(
    ("listed", "text"),
    [({"sessions": [], "live": 0}, "No call is live."), ("To this machine alone", "Calls are not listed here")],
)
async def test_a_board_without_calls_says_why(stage: Stage, browser: Browser, listed: object, text: str) -> None:
    stage.listed = listed
    async with tab(browser, f"{stage.url}calls", viewport=PHONE) as page:
        await page.page.wait_for_selector(f"text={text}")
        await picture(page, "calls-empty-phone" if isinstance(listed, dict) else "calls-refused-phone")
