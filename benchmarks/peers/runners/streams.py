"""For runners in a peer's own environment: what to stream, and how the answers go back. Standard library and numpy.

Input, one line of JSON: {"files": [path of int16 WAV at 16 kHz, ...], "offsets_s": [...], "chunk_ms": 100}.
Output, lines of JSON: {"sent": [stream, time, ms]} and {"said": [stream, time, ms, text]}, times of `perf_counter`.
"""

import json
import sys
import threading
import time
import wave

import numpy as np

_lock = threading.Lock()


def read_task():
    task = json.loads(sys.stdin.readline())
    clips = []
    for file in task["files"]:
        with wave.open(file) as audio:
            clips.append(np.frombuffer(audio.readframes(audio.getnframes()), "<i2").astype(np.float32) / 32768.0)
    return clips, task["offsets_s"], task["chunk_ms"] / 1000


def tell(**line):
    with _lock:
        print(json.dumps(line), flush=True)


def paced(stream, clip, offset_s, chunk_s, take):
    """Hands the clip on in real time, chunk by chunk; what `take` takes too long for comes late, as from a socket."""
    began = time.perf_counter() + offset_s
    chunk = int(chunk_s * 16_000)
    for at in range(0, len(clip), chunk):
        piece = clip[at : at + chunk]
        due = began + (at + len(piece)) / 16_000
        time.sleep(max(0.0, due - time.perf_counter()))
        tell(sent=[stream, due, (at + len(piece)) / 16])
        take(piece)
