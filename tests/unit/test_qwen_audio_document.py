"""docs/qwen-audio.md: its table of tasks is the tags that are sent, its figures are those that are kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.qwen_audio.page import PAGE
from benchmarks.report import replace_between
from inference.pool.tasks import TASK_NAMES, Task
from inference.qwen_audio.tags import render, to_tags

ROOT = Path(__file__).parents[2]
TEXT = PAGE.document.read_text("utf-8")
ROWS = re.findall(
    r"^\| `(\w+)` \| (.*) \| (.*) \| `(<\|startof.*)` \| (published|by its token) \|$", TEXT, re.MULTILINE
)


def test_every_task_has_its_row() -> None:
    assert sorted(row[0] for row in ROWS) == sorted(TASK_NAMES)


@pytest.mark.parametrize(("name", "fields", "tags"), [(name, fields, tags) for name, _, fields, tags, _ in ROWS])
def test_a_rows_tags_are_those_that_are_sent(name: str, fields: str, tags: str) -> None:
    given = dict(field.split(": ", 1) for field in fields.strip("` ").split(", ") if field)
    assert render(to_tags(Task(name=name, **given))) == tags  # type: ignore[arg-type]


def test_prompts_that_are_called_published_are_tested_as_such() -> None:
    tested = (ROOT / "tests" / "unit" / "inference" / "qwen_audio" / "test_tags.py").read_text("utf-8")
    for name, _, _, _, prompt in ROWS:
        if prompt == "published":
            assert f'name="{name}"' in tested or name == "transcribe"


def test_the_figures_are_those_that_are_kept() -> None:
    """After a new result: python -m benchmarks.qwen_audio --keep NAME."""
    assert replace_between(TEXT, PAGE.markdown()) == TEXT


def test_files_and_folders_that_it_names_are_there() -> None:
    for name in re.findall(r"`((?:inference|benchmarks|tests)/[\w/.]+)`", TEXT):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\(([\w-]+\.md)", TEXT):
        assert (ROOT / "docs" / name).is_file(), name
