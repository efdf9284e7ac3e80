"""`--task`: what a session is asked, on a command line, and its answers as a line of text."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import get_args

from tympan_client import Analysis, Task
from tympan_client.options import TaskName

from streaming.cli.errors import UserError

NAMES: tuple[str, ...] = get_args(TaskName)
STYLES = ("audiocaps", "clotho", "plain")
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[a-z]{2})?")


def add_task_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--task",
        action="append",
        metavar="NAME[:WHAT]",
        help="what the model is asked, for models that can (`tympan models`); several times for several: "
        "translate:de, emotion, caption:plain, 'question:Who is calling?'; default: transcribe",
    )


def parse_tasks(texts: Sequence[str] | None) -> tuple[Task, ...] | None:
    """Behind the colon: a question, the style of a caption, of all others the language of the answer.

    Raises:
        UserError: there is no such task, a question without its text, or something else behind the colon.
    """
    return None if not texts else tuple(_parse(text) for text in texts)


def answer_line(analysis: Analysis) -> str:
    """`emotion: angry`"""
    if analysis.error is not None:
        return f"{analysis.task}: no answer ({analysis.error})"
    named = ", ".join(f"{name} {value}" for name, value in analysis.fields.items())
    return f"{analysis.task}: {named or analysis.text or 'nothing'}"


def _parse(text: str) -> Task:
    name, _, what = text.partition(":")
    if name not in NAMES:
        raise UserError(f"there is no task {name!r}; there are {', '.join(NAMES)}")
    task: TaskName = name  # type: ignore[assignment]
    if name == "question":
        if not what.strip():
            raise UserError("the task question needs its text: --task 'question:Who is calling?'")
        return Task(name=task, question=what.strip())
    if not what:
        return Task(name=task)
    if name == "caption" and what in STYLES:
        return Task(name=task, style=what)  # type: ignore[arg-type]
    if not _LANGUAGE.fullmatch(what):
        style = f", or a style: {', '.join(STYLES)}" if name == "caption" else ""
        raise UserError(f"--task {text}: behind the colon stands the language of the answer, such as de{style}")
    return Task(name=task, target=what)
