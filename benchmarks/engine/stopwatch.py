"""Where the time of a step goes, by the parts of the engine."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any

from inference.engine.engine import WhisperEngine


class Stopwatch:
    """Seconds by part, each without the parts that it calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    def watch(self, owner: Any, method: str, part: str) -> None:
        """Counts the time in an object's method as `part` from now on."""
        setattr(owner, method, self._timed(getattr(owner, method), part))

    def _timed(self, call: Callable[..., Any], part: str) -> Callable[..., Any]:
        @wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._switch()
            self._running.append(part)
            try:
                return call(*args, **kwargs)
            finally:
                self._switch()
                self._running.pop()

        return timed

    def _switch(self) -> None:
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


def watch_engine(engine: WhisperEngine) -> Stopwatch:
    """A stopwatch on an engine's parts. Every part without those below it; `step` is what is left."""
    watch = Stopwatch()
    watch.watch(engine, "step", "step")
    watch.watch(engine.encoder, "advance", "encoder, interims")
    watch.watch(engine.encoder, "encode_many", "encoder, finals")
    watch.watch(engine.decoder, "decode", "decoder, tokens")
    watch.watch(engine.decoder, "_forward", "decoder, layers")
    for method in ("choose", "scores", "probability"):
        watch.watch(engine.decoder.projection, method, "decoder, vocabulary")
    watch.watch(engine.writer, "hypothesis", "words and their times")
    return watch
