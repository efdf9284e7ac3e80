"""What the packages import is declared in pyproject.toml, and every pin agrees with what is installed."""

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
OWN = {"streaming", "vad", "session_store", "inference", "training", "benchmarks", "tympan_client"}
SHIPPED = [ROOT / name for name in ("streaming", "vad", "session_store", "inference")]
CLIENT = [ROOT / "clients" / "python" / "tympan_client"]
DEVELOPMENT = [ROOT / "benchmarks", ROOT / "training", ROOT / "tests"]
RUNNERS = ROOT / "benchmarks" / "peers" / "runners"
ELSEWHERE = (RUNNERS, ROOT / "tests" / "sdks" / "peers")  # run in environments of their own


def project(file: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    return table


def declared(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(requirement).name) for requirement in requirements}


def imported(folders: list[Path]) -> set[str]:
    """Top-level names of other projects that the folders' modules import, anywhere in a module."""
    names = set()
    files = [file for folder in folders for file in folder.rglob("*.py") if file.parent not in ELSEWHERE]
    local = {file.stem for file in files}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - OWN - local - {"tests"}


def undeclared(folders: list[Path], requirements: list[str]) -> set[str]:
    """Imported names of which no distribution is declared."""
    carriers = packages_distributions()
    known = declared(requirements)
    return {
        name
        for name in imported(folders)
        if not {canonicalize_name(carrier) for carrier in carriers.get(name, [name])} & known
    }


SERVER = project(ROOT / "pyproject.toml")
CLIENTS = project(ROOT / "clients" / "python" / "pyproject.toml")
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def test_the_server_declares_what_it_imports() -> None:
    assert undeclared(SHIPPED, SERVER["dependencies"]) == set()


def test_the_client_declares_what_it_imports() -> None:
    assert undeclared(CLIENT, CLIENTS["dependencies"]) == set()


def test_tests_and_benchmarks_import_what_the_extras_declare() -> None:
    extras = SERVER["optional-dependencies"]
    every = [*SERVER["dependencies"], *CLIENTS["dependencies"], *extras["dev"]]
    assert undeclared(DEVELOPMENT, every) == set()


def test_everything_that_is_declared_is_pinned() -> None:
    extras = SERVER["optional-dependencies"]
    needed = declared([*SERVER["dependencies"], *CLIENTS["dependencies"], *extras["dev"]])
    assert needed - {"tympan-client"} <= {canonicalize_name(pin.name) for pin in PINS}


@pytest.mark.parametrize("pin", PINS, ids=lambda pin: pin.name)
def test_a_pin_is_exact_and_the_version_that_is_tested(pin: Requirement) -> None:
    """A local build of a version (2.13.0+cpu) counts as that version."""
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    try:
        installed = version(pin.name)
    except PackageNotFoundError:
        pytest.skip(f"{pin.name} is not installed here")
    assert Version(installed).public == specifier.version


def test_torch_is_pinned_without_a_build() -> None:
    """Which build (CPU, CUDA) is the installer's choice."""
    assert re.search(r"^torch==[\d.]+$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("peer", ["moonshine", "faster_whisper"])
def test_a_runner_of_a_peer_imports_what_its_environment_is_made_of(peer: str) -> None:
    text = (ROOT / "benchmarks" / "peers" / "requirements" / f"{peer}.txt").read_text(encoding="utf-8")
    pinned = [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]
    assert all(str(pin.specifier).startswith("==") for pin in pinned)
    source = (RUNNERS / f"run_{peer}.py").read_text(encoding="utf-8")
    names = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert any(canonicalize_name(str(name)) in {canonicalize_name(pin.name) for pin in pinned} for name in names)
