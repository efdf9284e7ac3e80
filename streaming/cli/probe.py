"""Asks the model's side of the machine, in a process of its own: nothing here imports torch."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from streaming.cli.errors import UserError

TIMEOUT_S = 300.0
"""Loading may include a download."""


def probe(*arguments: str) -> dict[str, Any]:
    """What `python -m inference.engine.probe` says.

    Raises:
        UserError: it could not be run; its last line says why.
    """
    command = [sys.executable, "-m", "inference.engine.probe", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"the model's probe did not answer within {TIMEOUT_S:g} s") from None
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(
            f"the model's side cannot be examined ({reason}); reinstall with: pip install --force-reinstall tympan"
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
