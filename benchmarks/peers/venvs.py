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


def python_of(peer: str, folder: Path, listed: Path = REQUIREMENTS) -> Path:
    """The interpreter of a peer's environment, which is made if it is not there or its versions have changed.

    Args:
        listed: the folder with the pinned versions of each peer.

    Raises:
        PeerError: pip failed.
    """
    requirements, alone = listed / f"{peer}.txt", listed / f"{peer}.alone.txt"
    text = "".join(file.read_text("utf-8") for file in (requirements, alone) if file.exists())
    environment = folder / f"{peer}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    python, done = environment / "bin" / "python", environment / "installed"
    if done.exists():
        return python
    shutil.rmtree(environment, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(environment)])
    _run([str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)])
    if alone.exists():  # its own list of dependencies asks for more than what is measured
        _run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(alone)])
    done.touch()
    return python


def _run(command: list[str]) -> None:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise PeerError(f"{' '.join(command[:4])}: {finished.stderr[-1500:].strip()}")
