"""What telephone lines have in common: options of a call, keys, and silence where the clock must go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import (
    MAX_SAMPLE,
    Audio,
    AudioFormat,
    CallOptions,
    Encoding,
    Endpointing,
    Event,
    RedactKind,
    Signal,
    Start,
    Task,
)
from streaming.protocol.native import BYTES_PER_SAMPLE, sample_frame_bytes

SILENCE_MS: Final = 700
"""People on the telephone wait for each other's words: a shorter pause than the native protocol's ends an utterance."""
MAX_PARAMETERS: Final = 64
MAX_PARAMETER_CHARS: Final = 500
MAX_ID_CHARS: Final = 128
MAX_AHEAD_S: Final = 60
"""Audio may be ahead of real time by so much; beyond it its timestamp is wrong."""
BRIDGE_S: Final = 50
"""A session takes gaps of up to a minute (streaming/audio/timeline.py)."""
SILENT: Final[dict[Encoding, bytes]] = {"mulaw": b"\xff", "alaw": b"\xd5", "s16le": bytes(2), "f32le": bytes(4)}
_KEYS: Final = {"*": "star", "#": "pound"}


def call_start(audio: AudioFormat, parameters: Mapping[str, str], *, labels: tuple[str, ...] = ()) -> Start:
    """The session of a call. Unknown parameters are ignored.

    Args:
        parameters: `language`, `labels`, `keywords`, `redact` (the last three separated by commas), `silence_ms`.
        labels: of the channels, where there is no parameter.

    Raises:
        ProtocolError: `unsupported`.
    """
    named = _list(parameters, "labels") or list(labels)
    if named and (len(named) != audio.channels or any(len(name) > 64 for name in named)):
        raise ProtocolError("unsupported", f"labels: {audio.channels} expected, one for each channel")
    redact = _list(parameters, "redact")
    kinds: tuple[RedactKind, ...] = get_args(RedactKind)
    if not set(redact) <= {*kinds, "all"}:
        raise ProtocolError("unsupported", f"redact: known are {', '.join(kinds)}, all")
    keywords = _list(parameters, "keywords")
    if len(keywords) > 100 or any(len(phrase) > 100 for phrase in keywords):
        raise ProtocolError("unsupported", "keywords: at most 100 with at most 100 characters")
    return Start(
        audio=AudioFormat(
            encoding=audio.encoding, sample_rate=audio.sample_rate, channels=audio.channels, labels=named or None
        ),
        task=Task(language=language(parameters.get("language"))),
        endpointing=Endpointing(min_silence_ms=_silence_ms(parameters)),
        redact=[kind for kind in kinds if kind in redact or "all" in redact],
        call=CallOptions(keywords=keywords),
    )


def language(text: str | None) -> str | None:
    """Of a tag such as `en` or `en-US`. Raises ProtocolError (`unsupported`)."""
    if not text:
        return None
    found = text.partition("-")[0].partition("_")[0].lower()
    if not (found.isascii() and found.isalpha() and 2 <= len(found) <= 3):
        raise ProtocolError("unsupported", "language: must be a tag such as en or en-US")
    return found


def kept_parameters(given: Mapping[str, object]) -> dict[str, str]:
    """Those that may be kept: a bounded number of texts."""
    texts = ((name, value) for name, value in given.items() if isinstance(value, str) and len(name) <= MAX_ID_CHARS)
    fitting = [(name, value) for name, value in texts if len(value) <= MAX_PARAMETER_CHARS]
    return dict(fitting[:MAX_PARAMETERS])


def key_signal(digit: str, channel: int, at_ms: int) -> Signal | None:
    """A key that was pressed; None: there is no such key."""
    if len(digit) != 1 or digit.upper() not in "0123456789ABCD*#":
        return None
    label = f"dtmf_{_KEYS.get(digit, digit.lower())}"
    return Signal(Event(label=label, channel=channel, start_ms=at_ms, source="signalling"))


def bridge(audio: AudioFormat, from_sample: int, to_sample: int) -> list[Audio]:
    """Lets audio go on at a place however far ahead: a sample of silence now and then. What lies between is a gap."""
    silent = SILENT[audio.encoding] * audio.channels
    step = BRIDGE_S * audio.sample_rate
    return [Audio(first_sample=at, data=silent) for at in range(from_sample + step, to_sample, step)]


def check_ahead(first: int, expected: int, elapsed_s: float, rate: int) -> None:
    """Raises ProtocolError (`bad_audio`): audio at `first` would be further ahead than real time can be.

    Args:
        first, expected: samples at `rate`: where it begins, and where it would if nothing were missing.
        elapsed_s: since the clock began.
    """
    possible = max(float(expected), elapsed_s * rate) + MAX_AHEAD_S * rate
    if first > min(possible, MAX_SAMPLE):
        raise ProtocolError("bad_audio", f"audio is more than {MAX_AHEAD_S} s ahead of the clock")


def interleaved(audio: AudioFormat, channels: list[bytes]) -> bytes:
    """Channels of the same length as one."""
    if len(channels) == 1:
        return channels[0]
    width, frame = BYTES_PER_SAMPLE[audio.encoding], sample_frame_bytes(audio)
    mixed = bytearray(len(channels[0]) * len(channels))
    for place, data in enumerate(channels):
        for byte in range(width):
            mixed[place * width + byte :: frame] = data[byte::width]
    return bytes(mixed)


def _list(parameters: Mapping[str, str], name: str) -> list[str]:
    return [item.strip() for item in parameters.get(name, "").split(",") if item.strip()]


def _silence_ms(parameters: Mapping[str, str]) -> int:
    text = parameters.get("silence_ms") or str(SILENCE_MS)
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 100 <= int(text) <= 5000):
        raise ProtocolError("unsupported", "silence_ms: must be a whole number from 100 to 5000")
    return int(text)
