"""Debian's Chromium, driven by Playwright, with a microphone that plays a file."""

from __future__ import annotations

import contextlib
import shutil
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run")
ALLOWED = "--use-fake-ui-for-media-stream"
DENIED = "--deny-permission-prompts"


def chromium() -> str | None:
    """The browser's command, or None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def fake_microphone(voice: Path, *, allowed: bool = True) -> tuple[str, ...]:
    """Flags for a microphone that plays a WAV file over and over, from its begin each time that it is opened."""
    return (
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={voice}",
        ALLOWED if allowed else DENIED,
    )


def write_voice(file: Path, samples: NDArray[np.int16], rate: int, silence_s: float) -> None:
    """What a fake microphone plays: the samples (n,), then silence."""
    with wave.open(str(file), "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(rate)
        written.writeframes(np.concatenate([samples, np.zeros(round(silence_s * rate), np.int16)]).tobytes())


@contextlib.asynccontextmanager
async def launched(command: str, *flags: str) -> AsyncIterator[Browser]:
    """A browser without a tab."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=command, args=[*FLAGS, *flags])
        try:
            yield browser
        finally:
            await browser.close()
