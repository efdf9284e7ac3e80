"""The decoding process: encoded audio on stdin, s16le at 16 kHz on stdout, by FFmpeg through PyAV. Its one argument
is all that it is told.

It is run by `streaming.media.decoder`. What comes in may be made to break decoders, so the process has little to lose:
no files, no network names (formats are chosen by the first bytes, never those that refer to other places), a limit of
memory and one of processor time.

stdout is a sequence of frames: one letter, the length (u32, little-endian), and so many bytes:
`F` JSON about the source, before all samples; `P` samples; `D` (u64) so many bytes of input are decoded as far as can
be; `E` why it ends, a word and a sentence; `Z` the end was reached.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import av

from streaming.media.heads import MAX_SOURCE_CHANNELS, Refusal, demuxer_of, wav_samples

SAMPLE_RATE = 16_000
READ_BYTES = 1 << 16
PIECE_BYTES = 1 << 15
CPU_BETWEEN_READS_S = 20
OPUS_RATE = 48_000
MAX_BAD_PACKETS = 16
"""In a row."""
_SAMPLE_BYTES = {"s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "mulaw": 1, "alaw": 1}
_HEADER = struct.Struct("<cI")
_LENGTH = struct.Struct("<I")
_LIVE = {
    # Enough for the head of a container; what a live stream sends must not be kept to learn more about it.
    "probesize": "8192",
    "analyzeduration": "1",
}


class Live:
    """What FFmpeg reads from; says on stdout when it asks for more than there is."""

    def __init__(self, first: bytes = b"") -> None:
        self._waiting = first
        self._taken = 0
        self._left: int | None = None

    def read(self, size: int) -> bytes:
        if self._left is not None:
            size = min(size, self._left)
        if size and not self._waiting:
            say(b"D", struct.pack("<Q", self._taken))
            more_cpu_time()
            self._waiting = os.read(0, READ_BYTES)
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        self._taken += len(data)
        if self._left is not None:
            self._left -= len(data)
        return data

    def end_after(self, size: int) -> None:
        self._left = size


def say(kind: bytes, payload: bytes) -> None:
    out = memoryview(_HEADER.pack(kind, len(payload)) + payload)
    while out:
        out = out[os.write(1, out) :]


def more_cpu_time() -> None:
    """A live stream may go on for hours; what it may not do is to keep the processor busy between two reads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + CPU_BETWEEN_READS_S
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def limit(memory_bytes: int, cpu_s: int | None) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))
    if cpu_s is None:
        more_cpu_time()
    else:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))


class Output:
    """Frames of any kind to samples on stdout, `channels` of them interleaved: 1 mixes, 2 keeps apart."""

    def __init__(self, channels: int, max_s: float | None) -> None:
        self._wanted = channels
        self._left = None if max_s is None else round(max_s * SAMPLE_RATE)
        self._resampler: Any = None
        self._channels = 0
        self._silent_second = False

    def begin(self, source_channels: int, about: dict[str, object]) -> None:
        if not 1 <= source_channels <= MAX_SOURCE_CHANNELS:
            raise Refusal("unreadable", f"the audio has {source_channels} channels")
        self._channels = self._wanted or min(source_channels, 2)
        self._silent_second = self._channels == 2 and source_channels == 1
        layout = "stereo" if self._channels == 2 and source_channels > 1 else "mono"
        self._resampler = av.AudioResampler(format="s16", layout=layout, rate=SAMPLE_RATE)
        say(b"F", json.dumps({"channels": self._channels, **about}).encode())

    def put(self, frame: Any) -> None:
        """None: the end."""
        if self._resampler is None:
            return
        for ready in self._resampler.resample(frame):
            planes = 1 if self._silent_second else self._channels
            self._say(bytes(ready.planes[0])[: ready.samples * planes * 2])  # a plane may be padded

    def _say(self, pcm: bytes) -> None:
        if self._silent_second:
            both = bytearray(len(pcm) * 2)
            both[0::4], both[1::4] = pcm[0::2], pcm[1::2]
            pcm = bytes(both)
        if self._left is not None:
            self._left -= len(pcm) // (2 * self._channels)
            if self._left < 0:
                raise Refusal("too_long", "the audio is longer than is allowed")
        for at in range(0, len(pcm), PIECE_BYTES):
            say(b"P", pcm[at : at + PIECE_BYTES])


def decode_container(file: Any, name: str, options: dict[str, str], output: Output) -> None:
    with av.open(file, format=name, options=options) as container:
        if not container.streams.audio:
            raise Refusal("unreadable", "there is no audio in it")
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        began = False
        for frame in frames(container.demux(stream)):
            if not began:
                output.begin(len(frame.layout.channels), {"container": name, "codec": stream.codec_context.name})
                began = True
            output.put(frame)
        if not began:
            raise Refusal("unreadable", "there is no audio in it")
        output.put(None)


def frames(packets: Iterator[Any]) -> Iterator[Any]:
    """Files that were cut or joined have a few packets that mean nothing; what is no audio has only such."""
    bad = 0
    for packet in packets:
        try:
            yield from packet.decode()
            bad = 0
        except av.error.InvalidDataError:
            bad += 1
            if bad > MAX_BAD_PACKETS:
                raise


def decode_samples(read: Callable[[int], bytes], raw: str, channels: int, rate: int, output: Output) -> None:
    codec: Any = av.CodecContext.create(f"pcm_{raw}", "r")
    codec.sample_rate = rate
    codec.layout = {1: "mono", 2: "stereo"}.get(channels, f"{channels}c")
    frame_bytes = channels * _SAMPLE_BYTES[raw]
    output.begin(channels, {"container": None, "codec": raw})
    buffer = b""
    while data := read(READ_BYTES):
        buffer += data
        if whole := len(buffer) // frame_bytes * frame_bytes:
            for frame in codec.decode(av.Packet(buffer[:whole])):
                output.put(frame)
            buffer = buffer[whole:]
    output.put(None)


def decode_packets(output: Output) -> None:
    """Opus packets, one to a message. How many channels there are is in each packet's first byte (RFC 6716, 3.1)."""
    codec: Any = av.CodecContext.create("libopus", "r")
    codec.sample_rate, codec.layout = OPUS_RATE, "stereo"
    output.begin(2, {"container": None, "codec": "opus"})
    taken = 0
    for packet in messages():
        taken += len(packet)
        for frame in codec.decode(av.Packet(packet)):
            output.put(frame)
        say(b"D", struct.pack("<Q", taken))
        more_cpu_time()
    output.put(None)


def messages() -> Iterator[bytes]:
    """The messages on stdin, each behind its length (u32, little-endian)."""
    buffer = b""
    while True:
        while len(buffer) >= 4 and len(buffer) >= 4 + (size := _LENGTH.unpack_from(buffer)[0]):
            if message := buffer[4 : 4 + size]:
                yield message
            buffer = buffer[4 + size :]
        more = os.read(0, READ_BYTES)
        if not more:
            return
        buffer += more


def read_all(limit_bytes: int) -> bytes:
    whole = bytearray()
    while more := os.read(0, READ_BYTES):
        whole += more
        if len(whole) > limit_bytes:
            raise Refusal("too_large", f"there are more than {limit_bytes} bytes")
    return bytes(whole)


def read_head(size: int) -> bytes:
    """At least so many bytes, where there are so many."""
    head = b""
    while len(head) < size:
        say(b"D", struct.pack("<Q", len(head)))
        if not (more := os.read(0, READ_BYTES)):
            break
        head += more
    return head


def run(settings: dict[str, Any]) -> None:
    output = Output(settings["channels"], settings["max_s"])
    raw = settings["raw"]
    if settings["whole"]:
        data = read_all(settings["max_bytes"])
        name = demuxer_of(data[:16])
        if name is not None:
            decode_container(io.BytesIO(data), name, {}, output)
        elif raw and data:
            decode_samples(io.BytesIO(data).read, raw, settings["input_channels"], settings["sample_rate"], output)
        else:
            raise Refusal("unreadable", "it is no audio of a known kind" if data else "it is empty")
        return
    if settings["packets"]:
        decode_packets(output)
        return
    if raw:
        decode_samples(Live().read, raw, settings["input_channels"], settings["sample_rate"], output)
        return
    head = read_head(12)
    live, name = Live(head), demuxer_of(head)
    if name is None:
        raise Refusal("unreadable", "it is no audio of a known kind")
    if name == "wav":
        wav = wav_samples(live.read)
        if wav.size is not None:
            live.end_after(wav.size)
        decode_samples(live.read, wav.raw, wav.channels, wav.rate, output)
    else:
        decode_container(live, name, _LIVE, output)


def main() -> None:
    settings = json.loads(sys.argv[1])
    limit(settings["memory_bytes"], settings["cpu_s"])
    try:
        run(settings)
    except Refusal as refusal:
        say(b"E", str(refusal).encode())
    except MemoryError:
        say(b"E", b"too_large decoding it takes too much memory")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        say(b"E", f"unreadable it cannot be decoded ({reason})".encode())
    else:
        say(b"Z", b"")


if __name__ == "__main__":
    main()
