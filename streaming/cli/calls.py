"""`--redact`, `--call` and `--keyword`: what a session hides, and whether it is looked at as a call."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import get_args

from tympan_client import CallOptions
from tympan_client.options import RedactKind

from streaming.cli.errors import UserError

KINDS: tuple[RedactKind, ...] = get_args(RedactKind)


def add_redact_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--redact",
        metavar="KINDS",
        help=f"hide numbers: {', '.join(KINDS)}, several separated by commas, or all (docs/calls.md)",
    )


def add_call_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--call", action="store_true", help="look at it as a call: talk, silence, holds, keys; in JSON (docs/calls.md)"
    )
    parser.add_argument("--keyword", action="append", metavar="PHRASE", help="look for it in the call; may be repeated")


def parse_redact(text: str | None) -> tuple[RedactKind, ...] | None:
    """Raises UserError: there is no such kind."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in (*KINDS, "all")]:
        raise UserError(f"--redact knows {', '.join(KINDS)} and all, not {', '.join(unknown)}")
    return tuple(kind for kind in KINDS if kind in names or "all" in names)


def parse_call(call: bool, keywords: Sequence[str] | None) -> CallOptions | None:
    """Keywords alone ask for the call as well."""
    return CallOptions(keywords=tuple(keywords) if keywords else None) if call or keywords else None
