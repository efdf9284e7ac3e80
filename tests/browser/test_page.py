"""The captions page in a real browser, on the real service with the real model."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import soundfile

from streaming.cli.demo import serving
from tests.support.chromium import Page, browsing, chromium

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="no Chromium is installed: apt-get install chromium"),
    pytest.mark.timeout(180),
]

CLIPS = Path(__file__).parents[1] / "data"
STATE = "document.getElementById('state').dataset.state"
SETTLED = "[...document.querySelectorAll('#settled .utterance')].map((line) => line.textContent).join(' ')"
SAID = "(document.getElementById('said').hidden ? '' : document.getElementById('said').textContent)"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(port=0) as address:
        yield address


@pytest_asyncio.fixture
async def page(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """The page, loaded, in a browser whose microphone plays pause.flac over and over, or with the flags given."""
    samples, rate = soundfile.read(CLIPS / "pause.flac", dtype="int16")
    soundfile.write(tmp_path / "voice.wav", samples, rate)
    microphone = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={tmp_path / 'voice.wav'}",
    )
    flags = getattr(request, "param", microphone)
    async with browsing(tmp_path / "profile", *flags) as opened:
        await opened.call("Page.navigate", url=url)
        await opened.wait_for("document.readyState === 'complete' && document.getElementById('microphone')")
        yield opened


async def test_the_microphone_becomes_captions_that_settle(page: Page) -> None:
    """Words come tentative first, and are a final at the end; nothing on the page fails, its policy included."""
    await page.click("microphone")
    await page.wait_for("document.querySelector('#open .tentative')?.textContent", timeout_s=60)
    assert await page.evaluate(STATE) == "live"
    await page.wait_for("document.querySelector('#settled .utterance')", timeout_s=60)
    await page.click("microphone")
    await page.wait_for(f"{STATE} === 'idle'", timeout_s=60)
    assert "while i look for your order" in (await page.evaluate(SETTLED)).lower()
    assert await page.evaluate("document.getElementById('open').children.length") == 0
    assert page.problems == []


async def test_a_file_is_captioned(page: Page) -> None:
    await page.evaluate("document.getElementById('play').checked = false")
    await page.choose_file("#file", CLIPS / "question.flac")
    await page.wait_for(f"{STATE} === 'idle' && {SETTLED}", timeout_s=60)
    assert "weather will be like tomorrow" in (await page.evaluate(SETTLED)).lower()
    assert page.problems == []


async def test_a_second_session_continues_below_the_first(page: Page) -> None:
    await page.evaluate("document.getElementById('play').checked = false")
    for count in (1, 2):
        await page.choose_file("#file", CLIPS / "question.flac")
        await page.wait_for(
            f"{STATE} === 'idle' && document.querySelectorAll('#settled .utterance').length === {count}", timeout_s=60
        )


async def test_a_file_without_sound_is_named(page: Page) -> None:
    await page.choose_file("#file", CLIPS / "manifest.tsv")
    assert await page.wait_for(SAID) == "manifest.tsv cannot be read as audio by this browser."
    assert await page.evaluate(STATE) == "problem"


@pytest.mark.parametrize("page", [("--use-fake-device-for-media-stream", "--deny-permission-prompts")], indirect=True)
async def test_a_microphone_that_is_not_allowed_is_explained(page: Page) -> None:
    await page.click("microphone")
    assert "was not allowed to use the microphone" in await page.wait_for(SAID)


async def test_a_server_that_is_away_is_said(page: Page, url: str) -> None:
    """The page was loaded and then the service went: here its address is made a closed port's."""
    away = "class extends WebSocket { constructor(url, names) { super('ws://127.0.0.1:9/v1/stream', names); } }"
    await page.call("Page.setBypassCSP", enabled=True)
    await page.call("Page.addScriptToEvaluateOnNewDocument", source=f"window.WebSocket = {away}")
    await page.call("Page.navigate", url=f"{url}?away")
    await page.wait_for("location.search && document.readyState === 'complete'")
    await page.choose_file("#file", CLIPS / "question.flac")
    assert "no server answers" in await page.wait_for(SAID)


@pytest.mark.parametrize(("width", "dark"), [(360, False), (360, True), (1280, False)])
async def test_nothing_is_cut_off_at_any_width(page: Page, width: int, dark: bool) -> None:
    await page.look(width, 640, dark=dark)
    assert await page.evaluate("document.documentElement.scrollWidth") == width
    edges = "[...document.querySelectorAll('button, .button')].map((one) => one.getBoundingClientRect().right)"
    assert max(await page.evaluate(edges)) <= width
