"""`<tympan-captions>` by itself: what was read stays where it is, and is read aloud once."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from streaming.protocol.messages import ServerMessage
from tests.support.browser import TEXT, Tab, tab
from tests.support.stage import Stage, being_said, said, story

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def somewhere(stage_of_all: Stage, browser: Browser) -> AsyncIterator[Tab]:
    async with tab(browser, f"{stage_of_all.url}empty") as opened:
        await opened.evaluate("() => import('/sdk/captions-element.js')")
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def page(somewhere: Tab, stage: Stage) -> Tab:
    """A new element of 600 by 300 pixels that shows all words at once: `captions`, and `body`, its words' parent."""
    await somewhere.evaluate("""() => {
        window.captions = document.createElement('tympan-captions');
        captions.setAttribute('pace', '0');
        Object.assign(captions.style, { width: '600px', height: '300px' });
        document.body.replaceChildren(captions);
        window.body = captions.shadowRoot.querySelector('.body');
        window.spoken = captions.shadowRoot.querySelector('.spoken');
    }""")
    return somewhere


async def tell(page: Tab, *messages: ServerMessage) -> None:
    await page.evaluate(
        "(told) => told.forEach((one) => captions.apply(one))", [msgspec.to_builtins(one) for one in messages]
    )


PLACES = "[...body.querySelectorAll('.word')].map((one) => [one.textContent, one.offsetLeft, one.offsetTop])"


async def test_words_that_stay_keep_their_elements_and_their_places(page: Tab) -> None:
    await tell(page, being_said(1, "At first a word", "is only", 0))
    before = await page.evaluate(f"() => {{ window.kept = [...body.querySelectorAll('.word')]; return {PLACES}; }}")
    await tell(page, being_said(1, "At first a word is only", "a guess and it is shown in a lighter tone", 0))
    after = await page.evaluate(f"() => {PLACES}")
    assert after[: len(before)] == before
    assert await page.evaluate("() => kept.every((one, index) => one === body.querySelectorAll('.word')[index])")


CHANGED = """() => {
    window.changed = [];
    new MutationObserver((found) => {
        for (const { target, type, removedNodes } of found) {
            if (type === 'characterData') changed.push(target.data);
            const words = [...removedNodes].filter(({ nodeName }) => nodeName === 'SPAN');
            changed.push(...words.map((one) => `-${one.textContent}`));
        }
    }).observe(body, { childList: true, characterData: true, subtree: true });
}"""


async def test_a_correction_changes_what_is_corrected_and_no_other_word(page: Tab) -> None:
    await tell(page, being_said(1, "", "a lighthouse keeper climbs the stairs before", 0))
    await page.evaluate(CHANGED)
    await tell(page, being_said(1, "", "a lighthouse keeper climbed up the stairs to sunrise", 0))
    assert await page.evaluate("async () => changed") == ["climbed", "to"]


async def test_lines_stay_broken_where_they_are(page: Tab) -> None:
    """What was read does not jump to another line where a word before it becomes shorter or a bit longer."""
    lines = f"() => {PLACES}.map(([, , top]) => top)"
    text = "At first, a word is only a guess, and it is shown in a lighter tone. A moment later it settles, and stays. "
    text += "The microphone never waits, and neither should the reader."
    await tell(page, being_said(1, text, "", 0))
    before = await page.evaluate(lines)
    assert len(set(before)) > 2
    await tell(page, said(1, text.replace("first,", "first").replace("guess,", "guess"), 0))
    assert await page.evaluate(lines) == before
    await page.evaluate("() => { captions.style.width = '400px'; }")
    await page.until(f"{PLACES}.map(([, , top]) => top).join() !== '{','.join(map(str, before))}'")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("one two three", "zero one two three"),
        ("one two three", "two three"),
        ("one two three", "one three"),
        ("one two three", "one and a half two three"),
        ("one two three", ""),
        ("one two", "three four five"),
    ],
)
async def test_whatever_changes_the_text_is_the_utterances(page: Tab, before: str, after: str) -> None:
    for text in (before, after, before):
        await tell(page, being_said(1, "", text, 0))
        assert await page.evaluate(f"() => ({TEXT})(body.querySelector('.text'))") == text


async def test_stable_text_is_read_aloud_once(page: Tab) -> None:
    """Not while it is tentative, in pieces worth hearing, and never again: not by the final either."""
    heard = "() => [...spoken.children].map((one) => (one.remove(), one.textContent))"
    await tell(page, being_said(1, "The lighthouse keeper", "climbed the stairs", 0))
    assert await page.evaluate(heard) == []
    await tell(page, being_said(1, "The lighthouse keeper climbed the stairs before sunrise", "as he", 0))
    assert await page.evaluate(heard) == ["The lighthouse keeper climbed the stairs before sunrise"]
    await tell(page, being_said(1, "The lighthouse keeper climbed the stairs before sunrise as he", "had", 0))
    assert await page.evaluate(heard) == []
    await tell(page, said(1, "The lighthouse keeper climbed the stairs before sunrise, as he had done.", 0))
    assert await page.evaluate(heard) == ["as he had done."]
    assert await page.evaluate("() => spoken.getAttribute('aria-live')") == "polite"
    assert await page.evaluate("() => captions.shadowRoot.querySelectorAll('[aria-live]').length") == 1


async def test_a_page_anywhere_shows_a_session_by_its_id(page: Tab, stage: Stage) -> None:
    """What was said before it came is shown, and not read aloud."""
    stage.session("embedded", stage.audio, *story())
    await page.evaluate("""(server) => {
        captions.setAttribute('server', server);
        captions.setAttribute('session', 'embedded');
    }""", stage.url)  # fmt: skip
    await page.until("body.querySelectorAll('.tentative').length === 3")
    assert await page.evaluate("() => spoken.childElementCount") == 0
    await stage.say(said(3, "A moment later it settles, and it stays.", 9_800), session="embedded")
    await page.until("spoken.textContent.includes('it stays.')")


async def test_who_reads_further_up_stays_there(page: Tab) -> None:
    place = "Math.round(captions.shadowRoot.querySelector('.log').scrollTop)"
    at_end = "captions.shadowRoot.querySelector('.log')"
    at_end = f"({at_end}.scrollHeight - {at_end}.scrollTop - {at_end}.clientHeight < 2)"
    lines = [
        said(number, f"This is sentence number {number} of a long speech.", number * 4_000) for number in range(20)
    ]
    await tell(page, *lines[:18])
    await page.until(at_end)
    await page.evaluate("() => { captions.shadowRoot.querySelector('.log').scrollTop = 40; }")
    await page.until(f"{place} === 40")
    await tell(page, *lines[18:])
    await page.page.get_by_role("button", name="Newest words").wait_for()
    assert await page.evaluate(f"() => {place}") == 40
    await page.page.get_by_role("button", name="Newest words").click()
    await page.until(at_end)


async def test_words_are_chosen_by_keyboard_and_by_pointer(page: Tab) -> None:
    await page.evaluate("""() => {
        captions.setAttribute('clickable', '');
        window.chosen = [];
        captions.addEventListener('wordchosen', ({ detail }) => chosen.push(detail.word.text));
    }""")
    await tell(page, said(1, "Please wait a moment.", 0), being_said(2, "Thank you", "I have", 4_000))
    await page.page.locator("tympan-captions .word", has_text="wait").click()
    await page.page.locator("tympan-captions .log").focus()
    for key in ("ArrowRight", "Enter", "ArrowLeft", "ArrowLeft", "Enter", " "):
        await page.page.keyboard.press(key)
    assert await page.evaluate("() => chosen") == ["wait", "you", "moment.", "moment."]
    focused = "() => captions.shadowRoot.activeElement.getAttribute('aria-label')"
    assert await page.evaluate(focused) == "moment., at 0:00: hear again"


async def test_its_size_does_not_grow_for_ever(page: Tab) -> None:
    """A long session is a bounded number of elements: old words become text, the oldest utterances go."""
    lines = [said(number, "one two three four five", number * 2_000) for number in range(1_100)]
    await tell(page, *lines)
    assert await page.evaluate("() => body.querySelectorAll('.utterance').length") == 1_000
    assert await page.evaluate("() => body.querySelectorAll('.word').length") <= 10
    assert await page.evaluate("() => body.querySelector('.text').textContent") == "one two three four five"


async def test_empty_utterances_leave_nothing_behind(page: Tab) -> None:
    await tell(page, being_said(1, "", "mm", 0))
    empty: dict[str, Any] = {"type": "transcript", "utterance": 1, "channel": 0, "revision": 3, "from_word": 0}
    await page.evaluate("(message) => captions.apply(message)", empty | {"words": [], "final": True})
    assert await page.evaluate("() => body.childElementCount") == 0
