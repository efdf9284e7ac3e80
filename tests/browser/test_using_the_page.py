"""What one does with the captions page beside reading, on a service that says what the test wants."""

import pytest
from playwright.async_api import Browser

from tests.support.browser import CAPTIONS, DESK, Tab, picture, tab
from tests.support.stage import Stage, said, started, story

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

TENTATIVE = f"{CAPTIONS}.shadowRoot.querySelectorAll('.tentative').length"


async def captioned(stage: Stage, page: Tab) -> None:
    await started(stage, page)
    await stage.say(*story())
    await page.until(f"{TENTATIVE} === 3")


async def test_a_word_can_be_heard_again(stage: Stage, browser: Browser) -> None:
    """The sound is the page's own memory; the word that is heard is marked, and then no more."""
    async with tab(browser, stage.url, viewport=DESK) as page:
        await started(stage, page)
        await stage.heard(1.5)
        await stage.say(said(1, "Hello, and welcome", 0))
        heard = f"{CAPTIONS}.shadowRoot.querySelector('.heard')?.textContent"
        await page.page.locator("tympan-captions .word", has_text="and").click()
        await page.until(f"{heard} === 'and'")
        await page.until(f"{heard} === 'welcome'")
        await page.until(f"{heard} === undefined")
        await stage.say(said(2, "Long after", 700_000))
        await page.page.locator("tympan-captions .word", has_text="Long").click()
        await page.page.wait_for_selector("#said", state="visible")
        assert page.problems == []


async def test_all_of_the_page_is_at_hand_by_keyboard(stage: Stage, browser: Browser) -> None:
    async with tab(browser, stage.url, viewport=DESK) as page:
        await captioned(stage, page)
        await page.page.focus(".brand")
        reached = []
        for _ in range(9):
            await page.page.keyboard.press("Tab")
            reached.append(await page.evaluate(
                "() => document.activeElement.id || document.activeElement.getAttribute('aria-label')"
                " || document.activeElement.className"
            ))  # fmt: skip
        wanted = ["captions", "start", "source", "Sound settings", "View", "copy", "save", "share"]
        assert reached[: len(wanted)] == wanted
        await page.page.focus("#save")
        await page.page.keyboard.press("Enter")
        assert await page.page.is_visible("#save-menu")
        await page.page.keyboard.press("Escape")
        await page.page.focus("#start")
        await page.page.keyboard.press("Enter")
        await page.state("idle")


async def test_what_was_set_is_remembered(stage: Stage, browser: Browser) -> None:
    async with tab(browser, stage.url, viewport=DESK) as page:
        await page.page.click("[popovertarget=view-menu]")
        await page.page.click("text=Dark")
        await page.page.fill("#size", "3")
        await page.page.keyboard.press("Escape")
        await page.page.reload()
        assert await page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(17, 23, 22)"
        await captioned(stage, page)
        size = f"getComputedStyle({CAPTIONS}.shadowRoot.querySelector('.utterance')).fontSize"
        assert await page.evaluate(f"() => {size}") == "48px"


async def test_the_microphone_is_chosen_and_changed_while_it_listens(stage: Stage, browser: Browser) -> None:
    """Another device, and without echo cancellation: the session goes on."""
    async with tab(browser, stage.url, viewport=DESK) as page:
        await started(stage, page)
        await page.until("document.getElementById('source').options.length > 3")
        await page.page.select_option("#source", label="Fake Audio Input 1")
        await page.page.click("[popovertarget=sound-menu]")
        await page.page.click("#echoCancellation")
        heard = stage.samples
        await stage.heard(heard / 16_000 + 1)
        await page.state("live")
        assert stage.streaming == 1
        assert page.problems == []


async def test_full_screen_is_captions_alone(stage: Stage, browser: Browser) -> None:
    async with tab(browser, stage.url, viewport=DESK) as page:
        await captioned(stage, page)
        await page.page.click("[popovertarget=view-menu]")
        await page.page.click("#full")
        await page.until("document.documentElement.hasAttribute('data-full')")
        assert await page.page.is_hidden(".dock")
        await picture(page, "full-screen")
        await page.evaluate("() => document.exitFullscreen()")
        await page.page.wait_for_selector(".dock")
