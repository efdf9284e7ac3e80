"""The microphone, by PortAudio through sounddevice, as s16le mono chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from streaming.cli.errors import UserError

RATES = (16_000, 48_000, 44_100)
"""Tried in this order: the service resamples what is not 16 kHz."""
BLOCK_MS = 50
MAX_WAITING_BLOCKS = 30_000 // BLOCK_MS
"""30 s. A server that is so far behind will not catch up with a microphone."""
INSTALL = "install it with: apt-get install libportaudio2 (macOS and Windows have it in sounddevice's wheel)"


def import_sounddevice() -> Any:
    """Raises UserError where PortAudio is missing."""
    try:
        import sounddevice
    except (ImportError, OSError):
        raise UserError(f"the microphone needs PortAudio, which was not found; {INSTALL}") from None
    return sounddevice


def input_devices() -> list[str]:
    """One line for each device that can record, as "0: name (2 channels, 48000 Hz)". Raises UserError."""
    devices = import_sounddevice().query_devices()
    return [
        f"{index}: {device['name']} ({device['max_input_channels']} channels, {device['default_samplerate']:.0f} Hz)"
        for index, device in enumerate(devices)
        if device["max_input_channels"] > 0
    ]


def choose_rate(device: str | int | None) -> int:
    """The first of RATES that the device records at.

    Raises:
        UserError: no PortAudio, no such device, or none of the rates.
    """
    sounddevice = import_sounddevice()
    reason = ""
    for rate in RATES:
        try:
            sounddevice.check_input_settings(device=device, channels=1, dtype="int16", samplerate=rate)
        except (sounddevice.PortAudioError, ValueError) as error:
            reason = str(error).splitlines()[0]
        else:
            return rate
    if not input_devices():
        raise UserError("no microphone was found; connect one, or try a file: tympan listen --file FILE")
    named = "the default microphone" if device is None else f"microphone {device!r}"
    raise UserError(f"{named} cannot be used ({reason}); choose one with --device, see --list-devices")


async def record(device: str | int | None, rate: int) -> AsyncGenerator[bytes, None]:
    """Chunks of BLOCK_MS until the caller stops. Raises UserError when they are not taken for 30 s."""
    sounddevice = import_sounddevice()
    loop = asyncio.get_running_loop()
    blocks: asyncio.Queue[bytes | None] = asyncio.Queue()

    def heard(data: Any, _frames: int, _time: Any, _status: Any) -> None:  # on PortAudio's own thread
        loop.call_soon_threadsafe(put, bytes(data))

    def put(block: bytes) -> None:
        blocks.put_nowait(block if blocks.qsize() < MAX_WAITING_BLOCKS else None)

    try:
        stream = sounddevice.RawInputStream(
            samplerate=rate, blocksize=rate * BLOCK_MS // 1000, device=device, channels=1, dtype="int16", callback=heard
        )
    except sounddevice.PortAudioError as error:
        raise UserError(f"the microphone cannot be opened ({error}); choose another with --device") from None
    with stream:
        while (block := await blocks.get()) is not None:
            yield block
    raise UserError("the server takes less audio than the microphone gives; captions would come ever later")
