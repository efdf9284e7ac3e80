"""Freed memory goes back to the system, when nothing waits and not too often."""

import ctypes

from inference.pool.heap import HeapTrimmer, find_trim


class Trims:
    def __init__(self) -> None:
        self.now = 0.0
        self.at: list[float] = []
        self.trimmer = HeapTrimmer(lambda: self.at.append(self.now), lambda: self.now, every_s=10.0)

    def idle(self, now: float) -> None:
        self.now = now
        self.trimmer.idle()


def test_it_trims_at_most_once_in_its_interval_and_only_after_steps() -> None:
    trims = Trims()
    trims.idle(20.0)
    assert trims.at == [], "nothing was done"
    trims.trimmer.step_done()
    trims.idle(21.0)
    trims.idle(40.0)
    trims.trimmer.step_done()
    trims.idle(30.5)
    assert trims.at == [21.0]
    trims.idle(31.0)
    assert trims.at == [21.0, 31.0]


def test_another_c_library_is_no_failure() -> None:
    trimmer = HeapTrimmer(None, lambda: 100.0)
    trimmer.step_done()
    trimmer.idle()


def test_glibc_gives_pages_back() -> None:
    trim = find_trim()
    if hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
        assert trim is not None
        assert trim() in (0, 1)
