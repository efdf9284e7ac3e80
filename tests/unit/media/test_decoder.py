"""Decoding processes, real ones, on small sounds made here."""

import asyncio
import io
import struct
import wave
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streaming.media.decoder import Decoder, Decoders, FileLimits, MediaError, SourceFormat
from streaming.media.heads import demuxer_of
from streaming.protocol.dialect import Source
from tests.support.sounds import encoded

RATE = 16_000
TONE = (8000 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.int16)
FILE = FileLimits(max_bytes=1 << 20, max_s=10, cpu_s=20)
LIVE_FORMATS = ("ogg", "webm", "flac", "mp3", "wav")


async def decode(
    data: bytes, source: Source | None = None, *, step: int = 1 << 16, **options: Any
) -> NDArray[np.int16]:
    """(n,) or (n, 2): all samples of the data, fed in pieces."""
    async with Decoders(1).open(source or Source(), **options) as decoder:
        about, pcm = await _decode(decoder, data, step)
    return np.frombuffer(pcm, "<i2").reshape(-1, about.channels).squeeze(1) if about.channels == 1 else (
        np.frombuffer(pcm, "<i2").reshape(-1, 2)
    )  # fmt: skip


async def _decode(decoder: Decoder, data: bytes, step: int) -> tuple[SourceFormat, bytes]:
    async def feed() -> None:
        for at in range(0, len(data), step):
            await decoder.feed(data[at : at + step])
        await decoder.end()

    feeding = asyncio.create_task(feed())
    try:
        pcm = b"".join([piece async for piece in decoder.samples()])
    finally:
        feeding.cancel()
    return await decoder.format(), pcm


async def refusal(data: bytes, source: Source | None = None, **options: Any) -> MediaError:
    with pytest.raises(MediaError) as refused:
        await decode(data, source, **options)
    return refused.value


def same_sound(heard: NDArray[np.int16], *, within: float = 0.05) -> None:
    """A second of the tone, give or take what codecs add at both ends."""
    assert len(heard) == pytest.approx(RATE, rel=0.1)
    spectrum = np.abs(np.fft.rfft(heard[2000:14_000].astype(float)))
    assert abs(int(spectrum.argmax()) * RATE / 12_000 - 440) < 2
    assert np.abs(heard[4000:12_000]).max() == pytest.approx(8000, rel=within)


@pytest.mark.parametrize("form", LIVE_FORMATS)
async def test_a_live_stream_is_decoded_as_it_comes(form: str) -> None:
    same_sound(await decode(encoded(TONE, form), step=1000), within=0.2)


@pytest.mark.parametrize("form", [*LIVE_FORMATS, "mp4"])
async def test_a_file_is_decoded_as_a_whole(form: str) -> None:
    same_sound(await decode(encoded(TONE, form), file=FILE), within=0.2)


@pytest.mark.parametrize("form", ["wav", "flac"])
async def test_how_a_stream_is_cut_changes_nothing(form: str) -> None:
    data = encoded(TONE, form)
    one, other = await decode(data, step=333), await decode(data, step=50_000)
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("raw", "rate", "data"),
    [
        ("s16le", 22_050, lambda tone: tone.astype("<i2").tobytes()),
        ("s32le", 16_000, lambda tone: (tone.astype("<i4") << 16).tobytes()),
        ("f32le", 11_025, lambda tone: (tone / 32_768).astype("<f4").tobytes()),
    ],
)
async def test_samples_of_other_rates_and_formats(raw: Any, rate: int, data: Any) -> None:
    tone = 8000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    same_sound(await decode(data(tone.astype(np.int16)), Source(raw=raw, sample_rate=rate), step=501))


async def test_three_channels_are_mixed() -> None:
    three = np.stack([TONE, TONE, TONE], axis=1)
    same_sound(await decode(three.astype("<i2").tobytes(), Source(raw="s16le", input_channels=3)), within=1.0)


async def test_opus_packets_without_a_container() -> None:
    packets = []
    with av.open(io.BytesIO(encoded(TONE, "ogg"))) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    async with Decoders(1).open(Source(packets=True)) as decoder:

        async def feed() -> None:
            for packet in packets:
                await decoder.feed(packet)
            await decoder.end()

        feeding = asyncio.create_task(feed())
        pcm = b"".join([piece async for piece in decoder.samples()])
        await feeding
    same_sound(np.frombuffer(pcm, "<i2"), within=0.2)


class TestChannels:
    TWO = np.stack([TONE, np.zeros_like(TONE)], axis=1)

    async def test_two_are_kept_apart(self) -> None:
        heard = await decode(encoded(self.TWO, "flac"), channels=2)
        same_sound(heard[:, 0])
        assert not heard[:, 1].any()

    async def test_two_are_mixed(self) -> None:
        heard = await decode(encoded(self.TWO, "flac"), channels=1)
        assert heard.ndim == 1
        assert 3000 < np.abs(heard).max() < 8000

    async def test_a_lone_one_has_silence_beside_it(self) -> None:
        heard = await decode(encoded(TONE, "flac"), channels=2)
        assert np.array_equal(heard[:, 0], TONE)
        assert not heard[:, 1].any()

    @pytest.mark.parametrize(("samples", "channels"), [(TONE, 1), (TWO, 2)])
    async def test_as_the_source_has_them(self, samples: NDArray[np.int16], channels: int) -> None:
        heard = await decode(encoded(samples, "flac"), channels=0)
        assert heard.ndim == channels


async def test_settled_says_that_all_before_it_is_decoded() -> None:
    """Half a second is fed; then what was decoded of it is there, though the stream goes on."""
    half = TONE[:8000].astype("<i2").tobytes()
    async with Decoders(1).open(Source(raw="s16le", sample_rate=8000)) as decoder:
        heard: list[bytes] = []

        async def take() -> None:
            async for piece in decoder.samples():
                heard.append(piece)

        taking = asyncio.create_task(take())
        await decoder.feed(half)
        await decoder.settled()
        assert sum(map(len, heard)) == pytest.approx(4 * 8000, abs=200), "a resampler may keep some samples"
        await decoder.end()
        await taking
        assert sum(map(len, heard)) == pytest.approx(4 * 8000, abs=20)


@pytest.mark.parametrize("begin", [b"O", b"OggS", b"RIFF\0\0\0\0WAVE", b"\x1a\x45\xdf\xa3"])
async def test_a_beginning_is_settled_too(begin: bytes) -> None:
    """Whoever waits for it would else wait for bytes that may never come."""
    async with Decoders(1).open() as decoder:

        async def take() -> None:
            async for _ in decoder.samples():
                pass

        taking = asyncio.create_task(take())
        await decoder.feed(begin)
        async with asyncio.timeout(20):
            await decoder.settled()
        taking.cancel()


BOMB = encoded(np.zeros(RATE * 60, np.int16), "flac")
"""A minute in some kilobytes."""


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "unreadable"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "unreadable"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "unreadable"),
        (bytes(100_000), "unreadable"),
        (b"OggS" + bytes(range(256)) * 100, "unreadable"),
        (b"\x1a\x45\xdf\xa3" + b"\xff" * 10_000, "unreadable"),
        (b"RIFF\xff\xff\xff\xffWAVE" + b"junk\xff\xff\xff\x7f" + bytes(5000), "unreadable"),
        (encoded(TONE, "mp4")[:2000], "unreadable"),
        (bytes(2 << 20), "too_large"),
        (BOMB, "too_long"),
    ],
)
@pytest.mark.parametrize("live", [False, True])
async def test_what_cannot_be_decoded_is_refused(data: bytes, reason: str, live: bool) -> None:
    if not live:
        assert (await refusal(data, file=FILE)).reason == reason
    elif reason == "unreadable":
        assert (await refusal(data)).reason == reason


async def test_a_decoder_that_takes_too_long_is_stopped() -> None:
    minute = encoded(np.tile(TONE, 60), "mp3")
    hours = await refusal(minute * 60 * 3, file=FileLimits(max_bytes=64 << 20, max_s=100_000, cpu_s=1))
    assert hours.reason == "too_slow"


async def test_leaving_ends_the_process_and_makes_room() -> None:
    decoders = Decoders(1)
    async with decoders.open() as decoder:
        with pytest.raises(MediaError) as refused:
            async with decoders.open():
                pass
        assert refused.value.reason == "busy"
        process = decoder._process
    assert process.returncode is not None
    assert decoders.running == 0


def test_formats_that_refer_to_other_places_are_not_known() -> None:
    for head in (b"#EXTM3U", b"<?xml version", b"ffconcat", b"http://", b"[playlist]", b""):
        assert demuxer_of(head.ljust(16, b"\n")) is None


def test_a_wav_header_written_by_a_stream() -> None:
    """Python's own writer cannot seek back in a pipe; the size it leaves is 0 or the largest."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(TONE.tobytes())
    data = bytearray(file.getvalue())
    data[40:44] = struct.pack("<I", 0xFFFF_FFFF)
    same_sound(asyncio.run(decode(bytes(data), step=100)))
