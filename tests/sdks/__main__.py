"""`make test-sdks`: real SDKs, unpatched, against a server with the bundled model; writes docs/compatibility.md.

The order: a server process with a key; each clip over the native protocol, for comparison; each client's program on the
clips. With `--only` nothing is written.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path

from tympan_client import TympanClient
from tympan_client.events import TranscriptUpdate

from benchmarks.dialects import cost_table
from benchmarks.peers.venvs import PeerError
from tests.sdks.clients import CLIENTS
from tests.sdks.report import page
from tests.sdks.trial import Outcome, Spoken, run
from tests.support.clips import read_clip

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "compatibility.md"
KEY = "the-key-of-the-sdk-tests"
READY = re.compile(r"Tympan is ready: http://(?P<host>[\d.:]+)/")
CLIPS = ("question", "prose", "pause", "numbers", "demo", "long")
PACED = ("question", "pause")
WHOLE = ("prose", "pause")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[client.name for client in CLIENTS], default=[])
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv" / "sdks", metavar="FOLDER")
    args = parser.parse_args()
    chosen = [client for client in CLIENTS if not args.only or client.name in args.only]
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder, serving() as hosts:
        spoken = {name: hear(hosts["web"], name, Path(folder)) for name in CLIPS}
        clips = {
            "paced": [spoken[name] for name in PACED],
            "unpaced": list(spoken.values()),
            "whole": [spoken[name] for name in WHOLE],
        }
        for client in chosen:
            try:
                outcome = run(client, hosts[client.port], KEY, clips, args.environments)
            except (PeerError, OSError, subprocess.CalledProcessError) as error:
                print(f"{client.name}: could not be installed: {error}", file=sys.stderr)
                return 2
            outcomes.append(outcome)
            said = "passed" if outcome.passed else "; ".join(outcome.problems)
            words = f"{outcome.errors.rate:.1f} % of the words wrong, native {outcome.native_errors.rate:.1f} %"
            print(f"{client.name} {outcome.version}: {said} ({words})", flush=True)
    if not args.only:
        PAGE.write_text(page(outcomes, cost_table()), "utf-8")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


@contextlib.contextmanager
def serving() -> Iterator[dict[str, str]]:
    """A server process; gives HOST:PORT of each of its ports, by `Client.port`."""
    wyoming = str(free_port())
    command = [sys.executable, "-m", "streaming.cli.main", "serve", "--port", "0", "--device", "cpu"]
    command += ["--wyoming-port", wyoming]
    environment = {**os.environ, "TYMPAN_AUTH_KEYS": KEY, "TYMPAN_SERVER_LOG_LEVEL": "warning"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert server.stdout is not None
        ready = next((found for line in server.stdout if (found := READY.match(line))), None)
        if ready is None:
            raise RuntimeError("the server did not start; it says why above")
        yield {"web": ready["host"], "wyoming": f"127.0.0.1:{wyoming}"}
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def hear(host: str, name: str, folder: Path) -> Spoken:
    samples, reference = read_clip(f"{name}.flac")
    pcm = samples.astype("<i2").tobytes()
    wav = folder / f"{name}.wav"
    with wave.open(str(wav), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(pcm)
    return Spoken(wav, reference, asyncio.run(native(host, pcm)))


async def native(host: str, pcm: bytes) -> str:
    texts = []
    async for event in TympanClient(f"ws://{host}/v1/stream?token={KEY}").stream(pcm):
        if isinstance(event, TranscriptUpdate) and event.final:
            texts.append(event.text or "")
    return " ".join(texts)


if __name__ == "__main__":
    sys.exit(main())
