"""A result as a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_result(file: Path, result: dict[str, Any]) -> None:
    """Makes the folders that are missing. An older file is replaced."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
