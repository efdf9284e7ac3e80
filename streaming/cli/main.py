"""The `tympan` command: one module per subcommand, imported only when it is called.

Each module has `add_parser(subparsers)` and `run(args) -> int`. What a user can mend is raised as `UserError`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from streaming.cli.errors import UserError

COMMANDS = {
    "serve": "run the captions service",
    "transcribe": "write what is said in audio files",
    "listen": "show live captions of the microphone, or of a file",
    "events": "say what is heard in audio files beside words",
    "watch": "show the live captions of a session that runs elsewhere",
    "doctor": "say what was found on this machine, and how fast it is",
    "models": "list what --model accepts",
}
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    parser = argparse.ArgumentParser(prog="tympan", description="Self-hosted real-time speech captions.")
    parser.add_argument("--version", action="version", version=f"tympan {_version()}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command, help_text in COMMANDS.items():
        if command == name:
            importlib.import_module(f"streaming.cli.{command}").add_parser(subparsers)
        else:
            subparsers.add_parser(command, help=help_text)
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help()
        return EXIT_USER_ERROR
    try:
        code: int = importlib.import_module(f"streaming.cli.{args.command}").run(args)
    except UserError as error:
        print(f"tympan {args.command}: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _version() -> str:
    try:
        return version("tympan")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
