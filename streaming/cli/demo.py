"""`make demo`: starts the service, plays a recorded voice to it, shows the captions live, and leaves the page up.

The order of calls: a server process on the usual port, or a free one; its ready line; `tympan listen --file` against
it; then wait for Ctrl-C. The server has a process group of its own, so that Ctrl-C ends it only through here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from tympan_client import TympanError

from streaming.cli import listen
from streaming.cli.errors import UserError
from streaming.config import ServerSettings

CLIP = Path(__file__).parents[2] / "tests" / "data" / "demo.flac"
READY_LINE = re.compile(r"Tympan is ready: (?P<url>http://\S+/)")
STOP_TIMEOUT_S = 15.0
SHORT_PAUSES = ("--min-silence-ms", "500")  # the clip's voice makes short ones; so each sentence gets its final


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.split("\n\n")[0])
    parser.add_argument("--clip", type=Path, default=CLIP, help="another recording")
    parser.add_argument("--port", type=int, help=f"default: {ServerSettings().port}, or a free one where that is taken")
    parser.add_argument("--once", action="store_true", help="end after the clip")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # leaves `serving`, which ends the server
    console = Console(highlight=False)
    try:
        console.print("Starting the service (the model is loaded) ...")
        with serving(args.port if args.port is not None else usual_or_free_port()) as url:
            console.print(f"Playing {args.clip.name} at its own speed; pale words may still change.\n")
            interrupted = play(args.clip, url, console)
            if not (args.once or interrupted):
                console.print(f"\nThe service is still up. Your own voice: [bold]{url}[/] (Ctrl-C ends it)")
                signal.pause()
    except (UserError, TympanError) as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print()
    return 0


@contextlib.contextmanager
def serving(port: int) -> Iterator[str]:
    """A server process; gives its URL once it is ready, and ends it. Raises UserError where it does not start."""
    command = [sys.executable, "-m", "streaming.cli.main", "serve", "--port", str(port), "--log-level", "warning"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert server.stdout is not None
        ready = next((found for line in server.stdout if (found := READY_LINE.match(line))), None)
        if ready is None:
            raise UserError("the service did not start; it says why above, and `.venv/bin/tympan doctor` may help")
        yield ready["url"]
    finally:
        server.terminate()
        try:
            server.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def play(clip: Path, url: str, console: Console) -> bool:
    """True: ended by Ctrl-C."""
    parser = argparse.ArgumentParser()
    listen.add_parser(parser.add_subparsers())
    return asyncio.run(
        listen.listen(parser.parse_args(["listen", "--file", str(clip), "--server", url, *SHORT_PAUSES]), console)
    )


def usual_or_free_port() -> int:
    usual = ServerSettings().port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ServerSettings().host, usual))
        except OSError:
            return 0
    return usual


if __name__ == "__main__":
    sys.exit(main())
