"""Peers that are libraries: a runner in their own environment streams the clips to itself and tells what it hears."""

from __future__ import annotations

import json
import subprocess
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.timeline import Said, Timeline
from benchmarks.peers.venvs import PeerError

RUNNERS = Path(__file__).parent / "runners"


def run_stage(
    python: Path,
    runner: str,
    arguments: Sequence[str],
    clips: Sequence[NDArray[np.int16]],
    offsets_s: Sequence[float],
    chunk_ms: int,
    patience_s: float,
) -> list[Timeline]:
    """One stream for each clip, paced in real time by the runner.

    Args:
        patience_s: after so long it is ended; what it had said by then counts.
    Raises:
        PeerError: the runner failed.
    """
    timelines = [Timeline() for _ in clips]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as complaints:
        files = [_write(Path(folder) / f"{index}.wav", clip) for index, clip in enumerate(clips)]
        task = {"files": files, "offsets_s": list(offsets_s), "chunk_ms": chunk_ms}
        command = [str(python), str(RUNNERS / f"run_{runner}.py"), *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True)
        try:
            output, _ = process.communicate(json.dumps(task) + "\n", timeout=patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        else:
            if process.returncode:
                complaints.seek(0)
                raise PeerError(f"{runner}: {complaints.read()[-1500:]}")
    for line in output.splitlines():
        _note(line, timelines)
    for index, timeline in enumerate(timelines):
        if not timeline.sent:
            timeline.problem = f"{runner}: stream {index} was never served"
    return timelines


def _write(file: Path, clip: NDArray[np.int16]) -> str:
    with wave.open(str(file), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(16_000)
        audio.writeframes(clip.astype("<i2").tobytes())
    return str(file)


def _note(line: str, timelines: Sequence[Timeline]) -> None:
    """Libraries print things too: what is not the runner's is passed over."""
    try:
        told = json.loads(line)
    except ValueError:
        return
    match told:
        case {"sent": [int(stream), float(at_s), float(ms) | int(ms)]}:
            timelines[stream].sent.append((at_s, ms))
        case {"said": [int(stream), float(at_s), float(ms) | int(ms), str(text)]}:
            timelines[stream].said.append(Said(at_s, ms, text))
        case _:
            return
