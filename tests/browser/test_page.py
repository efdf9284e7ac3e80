"""The captions page in a real browser, on the real service with the real model: sound in, words out."""

import asyncio
import re
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

from benchmarks.cluster.gateway import TYMPAN_SERVE, GatewayProcess
from tests.support.browser import CAPTIONS, TEXT, Tab, fake_microphone, launched, tab, write_voice
from tests.support.redis_server import RedisServer
from tests.support.slow_link import slow_link

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]
CLIPS = ROOT / "tests" / "data"
CLIP = CLIPS / "pause.flac"
SAID = (
    "Please wait a moment while I look for your order. "
    "Thank you, I have found it, and the parcel left our warehouse this morning."
)
MEASURES = ROOT / "benchmarks" / "web" / "measures.js"
LAYOUT_SHIFT = 0.02
normal = EnglishTextNormalizer()

WORDS = f"{CAPTIONS}.shadowRoot.querySelectorAll('.word').length"
FINALS = f"{CAPTIONS}.transcript.finals.length"


@dataclass
class Service:
    gateway: GatewayProcess
    browser: Browser

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}/"

    def page(self, path: str = "", **options: Any) -> AbstractAsyncContextManager[Tab]:
        return tab(self.browser, self.url + path, **options)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """One service with a Redis and one browser for all: its microphone plays pause.flac, then silence."""
    folder = tmp_path_factory.mktemp("page")
    samples, rate = soundfile.read(CLIP, dtype="int16")
    write_voice(folder / "voice.wav", samples, rate, 4)
    redis = RedisServer(folder / "redis")
    redis.start()
    gateway = GatewayProcess(
        "gateway", folder, TYMPAN_SERVE, {"TYMPAN_STORE_KIND": "redis", "TYMPAN_STORE_URL": redis.url}
    )
    try:
        await gateway.start()
        async with launched(*fake_microphone(folder / "voice.wav")) as browser:
            yield Service(gateway, browser)
    finally:
        await gateway.kill()
        await gateway.end_orphans()
        redis.kill()


def word_error_rate(text: str) -> float:
    return float(jiwer.wer(normal(SAID), normal(text)))


async def command_line_text() -> str:
    command = [sys.executable, "-m", "streaming.cli.main", "transcribe", str(CLIP)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode()


async def listening(page: Tab) -> None:
    """The microphone is on, as it is: what browsers do to sound is not what is tested."""
    for name in ("echoCancellation", "autoGainControl"):
        await page.evaluate("(name) => document.getElementById(name).click()", name)
    await page.page.click("#start")
    await page.until(f"{WORDS} > 2")


async def test_a_voice_becomes_words_that_two_others_read_along(service: Service) -> None:
    """As good as the command line's; tentative first, final at the end; nothing moves, nothing complains."""
    async with service.page() as page:
        await page.page.add_init_script(path=MEASURES)
        await page.page.reload()
        await listening(page)
        assert await page.page.get_attribute("#state", "data-state") == "live"
        await page.page.click("#share")
        link = await page.page.input_value("#watch-link")
        await page.page.keyboard.press("Escape")
        async with tab(service.browser, link) as early:
            await page.until(f"{FINALS} === 2")
            async with tab(service.browser, link) as late:
                await page.page.click("#start")
                await page.state("idle")
                said = await page.words()
                for viewer in (early, late):
                    await viewer.state("idle")
                    whole = "document.getElementById('log').transcript.finals.length === 2"
                    await viewer.until(whole)
                    shown = "[...document.getElementById('log').shadowRoot.querySelectorAll('.text')]"
                    lines = await viewer.evaluate(f"() => {shown}.map({TEXT}).join('\\n')")
                    assert lines == said
                    assert viewer.problems == []
        assert abs(word_error_rate(said) - word_error_rate(await command_line_text())) <= 0.02
        measures = await page.evaluate("() => tympanMeasures()")
        assert measures["layoutShift"] <= LAYOUT_SHIFT
        assert measures["shown"] >= 20
        assert page.problems == []


async def test_what_is_saved_is_what_the_server_has(service: Service) -> None:
    """Text, SRT and WebVTT of the page are, byte for byte, those of the session's transcript."""
    async with service.page() as page:
        await page.evaluate("() => document.getElementById('audible').click()")
        await page.page.set_input_files("#file", CLIPS / "call.flac")
        await page.until(f"{FINALS} > 0")
        session = await page.evaluate(f"() => {CAPTIONS}.dataset.session")
        await page.state("idle")
        for form in ("txt", "srt", "vtt"):
            answer = await page.page.request.get(f"{service.url}v1/sessions/{session}/transcript.{form}")
            await page.page.click("#save")
            async with page.page.expect_download() as saved:
                await page.page.click(f"[data-form={form}]")
            written = await asyncio.to_thread(Path(await (await saved.value).path()).read_text, "utf-8")
            assert written == await answer.text()
        assert len(re.findall("agent|customer", written)) > 3


async def test_a_reload_in_the_middle_loses_no_word(service: Service) -> None:
    async with service.page() as page:
        await listening(page)
        before = await page.evaluate(f"() => {CAPTIONS}.transcript.utterances[0].words.map(({{ text }}) => text)")
        await page.page.reload()
        await page.state("paused")
        await page.until(f"{WORDS} >= {len(before)}")
        await page.page.click("#start")
        await page.state("live")
        await page.until(f"{FINALS} === 1")
        assert "while i look for your order" in (await page.words()).lower()
        assert page.problems == []


async def test_on_a_slow_line_the_words_come_later_and_all(service: Service) -> None:
    """400 kbit/s and 150 ms each way: the page loads, and a recording waits for the line."""
    async with (
        slow_link(service.gateway.port, bytes_per_s=50_000, delay_s=0.15) as port,
        tab(service.browser, f"http://127.0.0.1:{port}/") as page,
    ):
        await page.evaluate("() => document.getElementById('audible').click()")
        await page.page.set_input_files("#file", CLIPS / "question.flac")
        await page.until(f"{FINALS} === 1", timeout_s=60)
        await page.state("idle")
        assert "weather will be like tomorrow" in (await page.words()).lower()
        assert page.problems == []


async def test_a_server_that_is_killed_and_comes_back_has_missed_nothing(service: Service) -> None:
    """Last, as it has the service started anew."""
    async with service.page() as page:
        await listening(page)
        shown = await page.words()
        await service.gateway.kill()
        await page.state("reconnecting")
        assert await page.words() == shown
        assert "of sound are kept" in await page.page.inner_text("#state")
        await service.gateway.start()
        await page.state("live")
        await page.until(f"{FINALS} === 1")
        assert "please wait a moment while i look for your order" in normal(await page.words())
        assert await page.page.locator("tympan-captions .notice").count() == 0
