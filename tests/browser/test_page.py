"""The captions page in a real browser, on the real service with the real model: sound in, words out."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import pytest
import pytest_asyncio
import soundfile
from playwright.async_api import Browser
from whisper_normalizer.english import EnglishTextNormalizer

from streaming.cli.demo import serving
from tests.support.browser import Tab, fake_microphone, launched, tab, write_voice

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

CLIPS = Path(__file__).parents[1] / "data"
CLIP = CLIPS / "pause.flac"
TEXT = (
    "Please wait a moment while I look for your order. "
    "Thank you, I have found it, and the parcel left our warehouse this morning."
)
CLIP_S = 8
normal = EnglishTextNormalizer()


@dataclass
class Service:
    url: str
    browser: Browser

    def page(self, path: str = "", **options: Any) -> AbstractAsyncContextManager[Tab]:
        return tab(self.browser, self.url + path, **options)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """One service and one browser for all: its microphone plays pause.flac, then four seconds of silence."""
    voice = tmp_path_factory.mktemp("voice") / "voice.wav"
    samples, rate = soundfile.read(CLIP, dtype="int16")
    write_voice(voice, samples, rate, 4)
    with serving(port=0) as url:
        async with launched(*fake_microphone(voice)) as browser:
            yield Service(url, browser)


def word_error_rate(text: str) -> float:
    return float(jiwer.wer(normal(TEXT), normal(text)))


async def command_line_text() -> str:
    command = [sys.executable, "-m", "streaming.cli.main", "transcribe", str(CLIP)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode()


FIRST = "document.querySelector('tympan-captions').shadowRoot.querySelector('.word')"
SETTLED = "document.querySelector('tympan-captions').transcript.finals.length"


async def untouched(page: Tab) -> None:
    """The microphone as it is: what the browser does to sound is not what is tested."""
    for name in ("echoCancellation", "autoGainControl"):
        await page.evaluate("(name) => document.getElementById(name).click()", name)


async def test_the_microphone_becomes_captions_as_good_as_the_command_lines(service: Service) -> None:
    """Words come tentative first, and are finals at the end; nothing on the page fails, its policy included."""
    async with service.page() as page:
        await untouched(page)
        await page.page.click("#start")
        await page.until("document.querySelector('tympan-captions').shadowRoot.querySelector('.tentative')")
        assert await page.page.get_attribute("#state", "data-state") == "live"
        await page.until(f"{SETTLED} === 2")
        await page.page.click("#start")
        await page.state("idle")
        assert abs(word_error_rate(await page.words()) - word_error_rate(await command_line_text())) <= 0.02
        assert page.problems == []
