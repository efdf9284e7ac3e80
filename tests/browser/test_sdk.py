"""The SDK's parts that compute something, in the browser that runs them, against what Python computes."""

import random
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import soxr

from streaming.protocol.messages import Word
from streaming.transcript.captions import Spoken, srt, webvtt
from streaming.transcript.text import plain_text
from tests.support.browser import Tab, launched, tab
from tests.support.stage import staged

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page() -> AsyncIterator[Tab]:
    async with staged() as stage, launched() as browser, tab(browser, f"{stage.url}empty") as opened:
        yield opened


async def run(page: Tab, module: str, names: str, script: str, argument: Any = None) -> Any:
    """The value of the body of an async function that has `names` of a module at hand, and `given`."""
    body = f"const {{ {names} }} = await import('/{module}'); {script}"
    return await page.evaluate(f"async (given) => {{ {body} }}", argument)


@pytest.mark.parametrize("rate", [48_000, 44_100, 96_000, 22_050, 16_000, 8_000])
async def test_a_device_of_any_rate_becomes_16_khz(page: Tab, rate: int) -> None:
    """As soxr resamples it, to 60 dB, wherever the blocks begin; and what 16 kHz cannot hold is gone."""
    time = np.arange(rate // 2) / rate
    tones = sum(0.2 * np.sin(2 * np.pi * hz * time) for hz in (300, 1_000, 3_100))
    high = 0.2 * np.sin(2 * np.pi * 10_500 * time) if rate > 22_050 else 0.0
    script = """
        const input = Float32Array.from(given.input);
        return given.blocks.map((block) => {
            const resampler = new Resampler(given.rate, 16000);
            const output = [];
            for (let at = 0; at < input.length; at += block) {
                output.push(...resampler.push(input.subarray(at, at + block)));
            }
            return output;
        });
    """
    argument = {"rate": rate, "input": (tones + high).tolist(), "blocks": [128, 1_000_000]}
    by_blocks, whole = await run(page, "sdk/capture-worklet.js", "Resampler", script, argument)
    assert by_blocks == whole
    assert abs(len(whole) - 8_000) < 60  # a few milliseconds are still to come
    expected = soxr.resample(tones, rate, 16_000)
    inner = slice(500, 7_400)
    error = np.asarray(whole)[inner] - expected[inner]
    assert 10 * np.log10(np.mean(expected[inner] ** 2) / np.mean(error**2)) > 60


async def test_two_channels_are_interleaved_and_measured_apart(page: Tab) -> None:
    script = """
        const chunks = [];
        const format = { inputRate: 16000, outputRate: 16000, channels: 2, chunkSamples: 100 };
        const chunker = new Chunker(format, (samples, levels) => chunks.push({ samples: [...samples], levels }));
        const left = new Float32Array(128).fill(0.5);
        const right = new Float32Array(128).fill(-0.05);
        chunker.push([left, right]);
        chunker.flush();
        const mono = new Chunker({ ...format, channels: 1 }, (samples) => chunks.push({ samples: [...samples] }));
        mono.push([left, right]);
        return chunks;
    """
    first, rest, mono = await run(page, "sdk/capture-worklet.js", "Chunker", script)
    assert first["samples"][:4] == [16_384, -1_638, 16_384, -1_638]
    assert first["levels"] == pytest.approx([-6.02, -26.02], abs=0.01)
    assert (len(first["samples"]), len(rest["samples"])) == (200, 56)
    assert set(mono["samples"]) == {7_373}


async def test_words_never_wait_longer_than_the_bound_nor_overtake_each_other(page: Tab) -> None:
    """Whatever comes when."""
    chances = random.Random(7)
    batches, now = [], 0.0
    for _ in range(300):
        now += chances.choice((0, 5, 60, 500, 3_000))
        batches.append((now, ["w" * chances.randint(1, 12) for _ in range(chances.randint(0, 9))]))
    script = """
        const cadence = new Cadence(given.bound);
        return given.batches.map(([now, words]) => cadence.times(words, now));
    """
    for bound in (0, 150, 1_500):
        shown = await run(page, "sdk/cadence.js", "Cadence", script, {"bound": bound, "batches": batches})
        flat = [time for times in shown for time in times]
        assert all(after >= before - 1e-6 for before, after in pairwise(flat))
        for (came, _), times in zip(batches, shown, strict=True):
            assert all(came - 1e-6 <= time <= came + bound + 1e-6 for time in times)


TEXTS = ["a", "word", "end.", "What?", "x" * 50, "-->", "<b>", "R & D", "naïve", "🙂🙂", "好。"]
LABELS = ["agent", "a customer with a very long name, longer than a line"]


def utterances(chances: random.Random) -> list[dict[str, Any]]:
    """Of two voices, with words that are long, glued, oddly spaced or without length, and pauses."""
    made, at = [], 0
    for number in range(chances.randint(1, 5)):
        words = []
        for place in range(chances.randint(1, 40)):
            text = chances.choice(TEXTS)
            at += chances.choice((0, 0, 30, 800))
            end = at + chances.choice((0, 120, 400, 2_500))
            words.append({"id": number * 100 + place, "text": text, "start_ms": at, "end_ms": end, "confidence": 0.5,
                          "state": "final", "glued": place > 0 and chances.random() < 0.2})  # fmt: skip
            at = end
        made.append({"id": number, "channel": chances.randint(0, 1), "words": words, "final": True, "language": None})
        at -= chances.choice((0, 0, 500))
        at = max(0, at)
    return made


async def test_subtitles_are_the_servers_character_by_character(page: Tab) -> None:
    chances = random.Random(11)
    cases = [(utterances(chances), labels) for labels in ([], LABELS) for _ in range(100)]
    script = "return given.map(([said, labels]) => [plainText(said, labels), srt(said, labels), webvtt(said, labels)]);"
    written = await run(page, "sdk/subtitles.js", "plainText, srt, webvtt", script, cases)
    for (case, labels), (text, as_srt, as_vtt) in zip(cases, written, strict=True):
        spoken = [
            Spoken([Word(**word) for word in one["words"]], labels[one["channel"]] if labels else None) for one in case
        ]
        assert as_srt == srt(spoken)
        assert as_vtt == webvtt(spoken)
        names = [f"{one.label}: " if one.label else "" for one in spoken]
        assert text == "".join(f"{name}{plain_text(one.words)}\n" for name, one in zip(names, spoken, strict=True))


async def test_the_spectrum_is_a_fourier_transforms(page: Tab) -> None:
    samples = np.random.default_rng(3).uniform(-1, 1, 512)
    power = await run(page, "page/fft.js", "Spectrum", "return [...new Spectrum(512).of(given)];", samples.tolist())
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    expected = (np.abs(np.fft.rfft(samples * window))[:256] * 4 / 512) ** 2
    assert np.allclose(power, expected, rtol=1e-3, atol=1e-6)


async def test_audio_of_the_last_minute_is_there_and_no_more(page: Tab) -> None:
    """At its place on the session's clock, also where that did not begin at 0; channels are mixed."""
    script = """
        const memory = new AudioMemory(1000, 2);
        memory.moveTo(5000);
        const second = (value) => Int16Array.from({ length: 2000 }, (_, i) => (i % 2 ? value : value + 2));
        for (let n = 0; n < 70; n++) memory.keep(second(n * 100));
        const value = (ms) => Math.round((memory.clip(ms, ms + 1) ?? [NaN])[0] * 32768);
        const gone = [memory.clip(14999, 16000), memory.clip(75000, 76000)];
        return [memory.fromMs, memory.untilMs, value(15000), value(74999), ...gone];
    """
    assert await run(page, "sdk/memory.js", "AudioMemory", script) == [15_000, 75_000, 1_001, 6_901, None, None]


async def test_a_delay_is_between_taking_in_a_sound_and_having_its_words(page: Tab) -> None:
    script = """
        const delay = new Delay();
        for (let at = 0; at < 100; at++) delay.took((at + 1) * 50, 1000 + at * 50);
        const first = delay.ms;
        delay.got(500, 2000);
        delay.got(1000, 2500);
        delay.got(99999, 9000);
        return [first, delay.ms];
    """
    assert await run(page, "page/delay.js", "Delay", script) == [None, 550]


async def test_what_is_said_again_comes_word_by_word_from_there_on(page: Tab) -> None:
    script = """
        const word = (id, start) => ({ id, text: `w${id}`, start_ms: start, end_ms: start + 400, state: "final" });
        const said = [0, 1, 2].map((n) => ({ id: n, channel: 0, final: true, language: null,
            words: [word(2 * n, n * 30000), word(2 * n + 1, n * 30000 + 1000)] }));
        const rewind = new Rewind(said, 31000);
        const told = ({ utterance, from_word: from, words, final }) => [utterance, from, words[0].text, final];
        const texts = (ms) => rewind.until(ms).map(told);
        return [texts(31000), texts(31000), texts(60500)];
    """
    first, nothing, then = await run(page, "page/rewind.js", "Rewind", script)
    assert first == [[1, 0, "w2", False], [1, 1, "w3", True]]
    assert nothing == []
    assert then == [[2, 0, "w4", False]]


async def test_an_overlay_takes_what_is_css_and_nothing_else(page: Tab) -> None:
    script = """
        const root = document.documentElement;
        const look = (query) => {
            root.removeAttribute("style");
            const on = applyOverlay(document.createElement("div"), new URLSearchParams(query));
            return [on, ...["size", "color", "align"].map((name) => root.style.getPropertyValue(`--overlay-${name}`))];
        };
        const looks = given.map(look);
        root.removeAttribute("style");
        delete root.dataset.overlay;
        return looks;
    """
    wrong = "overlay&size=9999&color=fff;background:url(x)&align=x"
    queries = ["", "overlay", wrong, "overlay&color=0f0&align=left&size=30"]
    assert await run(page, "page/overlay.js", "applyOverlay", script, queries) == [
        [False, "", "", ""],
        [True, "48px", "", ""],
        [True, "400px", "", ""],
        [True, "30px", "#0f0", "left"],
    ]
