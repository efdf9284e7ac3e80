"""One stage: N clients at once, each paced in real time, each with its own begin.

Order of calls: every client sleeps until its begin, then streams its script as `benchmarks.accuracy.stream` does.
One that is refused or fails leaves the others alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.accuracy.clips import Clip
from benchmarks.accuracy.exchange import Exchange
from benchmarks.accuracy.stream import Pace, StreamError, StreamSettings, stream_clip

REFUSALS = frozenset({"overloaded", "draining", "engine_unavailable"})
"""Error codes by which a service says that it takes no more sessions, and that the client may try again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one client."""

    script: Clip
    exchange: Exchange | None
    """None where the session did not come to its end."""
    problem: str = ""
    refused: bool = False


async def run_stage(
    scripts: Sequence[Clip],
    offsets_s: Sequence[float],
    settings: StreamSettings,
    done: Callable[[int], None],
    pace: Pace = "real_time",
) -> list[Outcome]:
    """One client for each offset; client i says script i, and the first one again after the last."""

    async def client(index: int, offset_s: float) -> Outcome:
        script = scripts[index % len(scripts)]
        await asyncio.sleep(offset_s)
        try:
            return Outcome(script, await stream_clip(script, settings, pace))
        except StreamError as error:
            return Outcome(script, None, str(error), error.code in REFUSALS)
        finally:
            done(1)

    return await asyncio.gather(*(client(index, offset_s) for index, offset_s in enumerate(offsets_s)))
