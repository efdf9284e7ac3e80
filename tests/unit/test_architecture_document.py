"""docs/architecture.md names steps as `file:function` and rooms as folders; all of them exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
STEPS = sorted(set(re.findall(r"`([\w/]+\.py):([\w.]+)`", TEXT)))
ROOMS = re.findall(r"`([\w/.]+)`", TEXT.partition("## Rooms")[2].partition("## ")[0])


def defined(file: Path) -> set[str]:
    """Functions and methods of a module, methods as `Class.method`."""
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef))
            names |= {f"{node.name}.{method.name}" for method in methods}
    return names


def test_the_life_of_a_sample_is_told_in_steps() -> None:
    assert len(STEPS) >= 15


@pytest.mark.parametrize(("file", "function"), STEPS)
def test_every_step_is_a_function_of_its_file(file: str, function: str) -> None:
    assert (ROOT / file).is_file()
    assert function in defined(ROOT / file)


@pytest.mark.parametrize("room", sorted({room for room in ROOMS if "/" in room}))
def test_every_room_is_there(room: str) -> None:
    assert (ROOT / room).exists()


def test_every_room_is_named() -> None:
    """A new package of the gateway or of inference needs its sentence."""
    packages = [path.parent for top in ("streaming", "inference") for path in (ROOT / top).glob("*/__init__.py")]
    assert {str(package.relative_to(ROOT)) for package in packages} <= set(ROOMS)
