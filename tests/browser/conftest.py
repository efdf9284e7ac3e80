"""A stage and a browser for each file of tests; the stage is cleared before each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import soundfile
from playwright.async_api import Browser

from tests.support.browser import fake_microphone, launched, write_voice
from tests.support.stage import Stage, staged

DEMO = Path(__file__).parents[1] / "data" / "demo.flac"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage_of_all() -> AsyncIterator[Stage]:
    async with staged() as on:
        yield on


@pytest.fixture
def stage(stage_of_all: Stage) -> Stage:
    stage_of_all.clear()
    return stage_of_all


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """demo.flac, as a fake microphone plays it."""
    file = tmp_path_factory.mktemp("voice") / "voice.wav"
    samples, rate = soundfile.read(DEMO, dtype="int16")
    write_voice(file, samples, rate, 1)
    return file


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(voice: Path) -> AsyncIterator[Browser]:
    async with launched(*fake_microphone(voice)) as chromium:
        yield chromium


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deaf_browser(voice: Path) -> AsyncIterator[Browser]:
    """It may not use its microphone."""
    async with launched(*fake_microphone(voice, allowed=False)) as chromium:
        yield chromium
