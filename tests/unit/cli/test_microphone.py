"""The microphone with a scripted PortAudio in its place."""

import asyncio
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from streaming.cli import microphone
from streaming.cli.errors import UserError


class PortAudioError(Exception):
    pass


class FakePortAudio(SimpleNamespace):
    """Records at `rates`; its stream speaks as soon as it is entered."""

    PortAudioError = PortAudioError

    def __init__(self, rates: tuple[int, ...], blocks: list[bytes]) -> None:
        super().__init__(rates=rates, blocks=blocks, closed=False)

    def query_devices(self) -> list[dict[str, Any]]:
        inputs = {"name": "USB", "max_input_channels": 1, "default_samplerate": 48_000.0}
        return [{"name": "Loudspeaker", "max_input_channels": 0, "default_samplerate": 44_100.0}] + (
            [inputs] if self.rates else []
        )

    def check_input_settings(self, *, device: object, channels: int, dtype: str, samplerate: int) -> None:
        if samplerate not in self.rates:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")

    def RawInputStream(self, *, callback: Callable, **settings: object) -> "FakePortAudio":  # noqa: N802
        self.callback = callback
        return self

    def __enter__(self) -> None:
        for block in self.blocks:
            self.callback(block, len(block) // 2, None, None)

    def __exit__(self, *_: object) -> None:
        self.closed = True


@pytest.fixture
def port_audio(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> FakePortAudio:
    fake = FakePortAudio(getattr(request, "param", (16_000,)), [b"ab", b"cd"])
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


def test_only_devices_that_record_are_listed(port_audio: FakePortAudio) -> None:
    assert microphone.input_devices() == ["1: USB (1 channels, 48000 Hz)"]


@pytest.mark.parametrize(
    ("port_audio", "rate"), [((44_100, 16_000), 16_000), ((44_100, 48_000), 48_000)], indirect=["port_audio"]
)
def test_the_rate_that_costs_least_is_chosen(port_audio: FakePortAudio, rate: int) -> None:
    assert microphone.choose_rate(None) == rate


@pytest.mark.parametrize(
    ("port_audio", "device", "reason"),
    [
        ((), None, "no microphone was found; connect one, or try a file: tympan listen --file FILE"),
        ((96_000,), None, "the default microphone cannot be used .* --list-devices"),
        ((96_000,), "USB", "microphone 'USB' cannot be used .* --device"),
    ],
    indirect=["port_audio"],
)
def test_what_is_missing_is_told_with_the_remedy(port_audio: FakePortAudio, device: str | None, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        microphone.choose_rate(device)


def test_a_missing_portaudio_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # an import of it fails
    with pytest.raises(UserError, match="apt-get install libportaudio2"):
        microphone.input_devices()


async def test_blocks_come_in_their_order_and_the_microphone_is_closed(port_audio: FakePortAudio) -> None:
    recording = microphone.record(None, 16_000)
    async with asyncio.timeout(5):
        assert [await anext(recording), await anext(recording)] == [b"ab", b"cd"]
    await recording.aclose()
    assert port_audio.closed


async def test_a_server_that_takes_nothing_for_too_long_ends_it(
    port_audio: FakePortAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue is bounded: nothing is dropped in silence, and memory does not grow."""
    monkeypatch.setattr(microphone, "MAX_WAITING_BLOCKS", 1)
    with pytest.raises(UserError, match="ever later"):
        assert [block async for block in microphone.record(None, 16_000)] == [b"ab"]
