"""The list of what is learnt: JSONL, one clip with one task and its answer a line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from inference.pool.tasks import Task

Split = Literal["train", "validation", "test"]


class ManifestError(Exception):
    """A manifest cannot be used. The message is one sentence for a user."""


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One clip, what is asked about it, and the answer."""

    audio: str
    """Path of the clip; relative ones from the manifest's folder."""
    task: Task
    """Carries the language, the form of the answer (`written`) and the question, too."""
    target: str
    """The answer without its end token; may be empty: nothing is said."""
    split: Split
    group: str
    """Tasks of one group share one weight in the balancing."""
    seconds: float
    kind: str = ""
    """What is heard: names the rows of a report."""
    speaker: str = ""
    """Whose clips are never in two splits; "" where there is none."""


def read_manifest(file: Path) -> list[Row]:
    """The rows in the file's order, audio paths resolved.

    Raises:
        ManifestError: no such file, no rows, or a line that is no row.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ManifestError(f"cannot read the manifest {file}: {error.strerror}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = msgspec.json.decode(line, type=Row)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise ManifestError(f"{file}, line {number}: {error}") from error
        rows.append(msgspec.structs.replace(row, audio=str(file.resolve().parent / row.audio)))
    if not rows:
        raise ManifestError(f"{file} lists no rows")
    return rows


def write_manifest(file: Path, rows: Iterable[Row]) -> None:
    """Replaces the file. Missing folders are made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def split_of(rows: Iterable[Row], split: Split, groups: tuple[str, ...] = ()) -> list[Row]:
    """The rows of one split; with `groups`, of those only."""
    return [row for row in rows if row.split == split and (not groups or row.group in groups)]
