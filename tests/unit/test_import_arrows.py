"""The rooms import each other in one direction only, and the gateway never loads a model library."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True, no_logo=True))"


def in_a_fresh_process(*argv: str) -> "subprocess.CompletedProcess[str]":
    """Runs `python argv` from the repository root with the project's packages on the path."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "clients" / "python")])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, *argv], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100
    )


def test_every_import_follows_the_contracts_of_pyproject() -> None:
    """The contracts stand in [tool.importlinter]; import-linter's own report says which arrow is wrong."""
    result = in_a_fresh_process("-c", LINT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "module", ["streaming.app", "streaming.session.service", "streaming.cli.main", "tympan_client"]
)
def test_the_gateway_loads_without_a_model_library(module: str) -> None:
    """Neither torch nor transformers is in the process after the import, directly or through another package."""
    result = in_a_fresh_process("-c", f"import sys, {module}; print(*{{'torch', 'transformers'}} & set(sys.modules))")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


def test_the_published_client_is_light() -> None:
    """`tympan_client` brings neither the server's packages nor its message library into a process."""
    heavy = "{'streaming', 'vad', 'session_store', 'inference', 'msgspec', 'onnxruntime', 'soxr'}"
    result = in_a_fresh_process("-c", f"import sys, tympan_client; print(*{heavy} & set(sys.modules))")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []
