"""What processes use while a stage runs: CPU time and resident memory, read from /proc (Linux)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    cpu_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Use:
    """Of one process over a stage."""

    cpu_share: float
    """Of one core: 1.0 is a core all the time."""
    memory_mb: float
    """Resident, at the end."""
    memory_growth_mb: float


def usage(pid: int) -> Usage | None:
    """None where the process is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return Usage((int(fields[11]) + int(fields[12])) / TICKS_PER_S, int(fields[21]) * PAGE_BYTES)


def children(pid: int) -> list[int]:
    """Processes that this one started and that are still there."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


class ResourceMeter:
    """Order of calls: make it as the stage begins, `read` as it ends."""

    def __init__(self, processes: dict[str, int], now_s: float) -> None:
        """`processes`: role → process id."""
        self._began_s = now_s
        self._processes = processes
        self._before = {role: usage(pid) for role, pid in processes.items()}

    def read(self, now_s: float, processes: dict[str, int] | None = None) -> dict[str, Use]:
        """By role; processes that ended meanwhile are left out.

        Args:
            processes: as they are now, with those that began meanwhile; None: the same.
        """
        wall_s = max(now_s - self._began_s, 1e-9)
        found = {}
        for role, pid in (processes or self._processes).items():
            known = self._processes.get(role) == pid
            before, after = self._before[role] if known else Usage(0.0, 0), usage(pid)
            if before is not None and after is not None:
                found[role] = Use(
                    cpu_share=round((after.cpu_s - before.cpu_s) / wall_s, 3),
                    memory_mb=round(after.memory_bytes / 1e6, 1),
                    memory_growth_mb=round((after.memory_bytes - before.memory_bytes) / 1e6, 1),
                )
        return found
