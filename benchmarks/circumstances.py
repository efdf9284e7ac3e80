"""Where and with what a measurement was made: stands in every result."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_DESCRIBE = ("git", "describe", "--always", "--dirty", "--exclude=*")
PACKAGES = ("torch", "transformers", "numpy", "onnxruntime", "webrtcvad-wheels", "websockets", "uvicorn", "jiwer")


FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""Of processors: what makes products faster."""


def circumstances() -> dict[str, Any]:
    """`date` (UTC), `machine`, `versions` and the `commit` of the source tree, "-dirty" where it is not all committed
    (None outside a checkout). Ask as the measurement begins: the tree may change while it runs."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "features": [name for name in FEATURES if name in _cpu_flags()],
            "system": f"{platform.system()} {platform.machine()}",
            "load_1min": load(),
        },
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def load() -> float:
    """Processes that ran or wanted to, over the last minute."""
    return round(os.getloadavg()[0], 2)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_info(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _processor() -> str:
    return _cpu_info("model name") or platform.processor() or "unknown"


def _cpu_flags() -> set[str]:
    return set(_cpu_info("flags").split())


def _commit() -> str | None:
    root = Path(__file__).parents[1]
    try:
        found = subprocess.run(_DESCRIBE, cwd=root, capture_output=True, text=True)
    except OSError:
        return None
    return found.stdout.strip() or None
