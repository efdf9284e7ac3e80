"""A virtual environment for each peer, made once from pinned versions."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"


class PeerError(RuntimeError):
    """A peer could not be installed or started; the text holds its last words."""


def python_of(peer: str, folder: Path) -> Path:
    """The interpreter of a peer's environment, which is made if it is not there or its versions have changed.

    Raises:
        PeerError: pip failed.
    """
    requirements = REQUIREMENTS / f"{peer}.txt"
    text = requirements.read_text("utf-8")
    environment = folder / f"{peer}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    python, done = environment / "bin" / "python", environment / "installed"
    if done.exists():
        return python
    shutil.rmtree(environment, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(environment)])
    alone = ["--no-deps"] if "without its dependencies" in text else []
    _run([str(python), "-m", "pip", "install", "--quiet", *alone, "-r", str(requirements)])
    done.touch()
    return python


def _run(command: list[str]) -> None:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise PeerError(f"{' '.join(command[:4])}: {finished.stderr[-1500:].strip()}")
