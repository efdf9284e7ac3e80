"""How many jobs a batch takes, so that no job waits long for a step that it came too late for. Pure.

On a GPU a step takes about as long for many streams as for one. On a CPU it takes longer with each, and a final that
comes just after a step began waits for all of it: there, more and smaller steps answer sooner.
"""

from __future__ import annotations

from typing import Final

STEP_TARGET_S: Final = 0.6
"""A step should take at most about so long, and half of what the latest job is overdue where that is more."""
LONGEST_STEP_S: Final = 1.0
_MEMORY: Final = 0.2
"""Weight of the newest step in the running mean."""


class Pace:
    """Learns what a job costs from the steps that were done."""

    def __init__(self, target_s: float = STEP_TARGET_S) -> None:
        self._target_s = target_s
        self._job_s: float | None = None

    @property
    def job_s(self) -> float | None:
        """Seconds of a step per job of it, lately; None before the first step."""
        return self._job_s

    def stepped(self, jobs: int, seconds: float) -> None:
        """A step of so many jobs took so long."""
        if jobs < 1:
            return
        each = seconds / jobs
        self._job_s = each if self._job_s is None else (1 - _MEMORY) * self._job_s + _MEMORY * each

    def limit(self, overdue_s: float) -> int | None:
        """Most jobs for the next step, where the latest of them is overdue by so much (negative: is not); None: no
        limit."""
        if not self._job_s:
            return None
        target_s = min(LONGEST_STEP_S, max(self._target_s, overdue_s / 2))
        return max(1, round(target_s / self._job_s))
