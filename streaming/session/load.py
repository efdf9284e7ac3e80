"""How far behind the answers are, as levels with hysteresis. Pure.

lag ──▶ above `slow_interims_after_s`: slow_interims ──▶ above `finals_only_after_s`: finals_only
and one level back each time the lag has been below half of the level's threshold for `recover_after_s`

While the server takes no more sessions, `refusing` is announced in the level's place; `interim_ms` stays the level's.
"""

from __future__ import annotations

from inference.pool.interface import BLOCK_SAMPLES
from streaming.audio.clock import samples_to_ms
from streaming.protocol.messages import Load, LoadLevel
from streaming.session.channel import interim_blocks
from streaming.session.effects import Effect, Send
from streaming.session.settings import SessionSettings

LEVELS: tuple[LoadLevel, ...] = ("normal", "slow_interims", "finals_only")


class LoadMeter:
    """Says so when the level or the durability changes."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._thresholds_ms = (
            0,
            round(settings.slow_interims_after_s * 1000),
            round(settings.finals_only_after_s * 1000),
        )
        self._recover_after_s = settings.recover_after_s
        self._at = 0
        self._good_since: float | None = None
        self._lag_ms = 0
        self._durable = True
        self._refusing = False

    @property
    def level(self) -> LoadLevel:
        return LEVELS[self._at]

    def measure(self, lag_ms: int, now: float) -> list[Effect]:
        """Takes the age of the oldest job without an answer."""
        self._lag_ms = lag_ms
        wanted = sum(lag_ms > threshold for threshold in self._thresholds_ms[1:])
        if wanted > self._at:
            self._at, self._good_since = wanted, None
            return [self._message()]
        if self._at == 0 or lag_ms > self._thresholds_ms[self._at] // 2:
            self._good_since = None
            return []
        if self._good_since is None:
            self._good_since = now
        if now - self._good_since < self._recover_after_s:
            return []
        self._at, self._good_since = self._at - 1, None
        return [self._message()]

    def durable(self, durable: bool) -> list[Effect]:
        """Whether audio reaches the store."""
        if durable == self._durable:
            return []
        self._durable = durable
        return [self._message()]

    def refusing(self, refusing: bool) -> list[Effect]:
        """Whether the server takes no more sessions."""
        if refusing == self._refusing:
            return []
        self._refusing = refusing
        return [self._message()]

    def _message(self) -> Effect:
        interim_ms = interim_blocks(self.level, self._settings) * samples_to_ms(BLOCK_SAMPLES)
        level = "refusing" if self._refusing else self.level
        return Send(Load(level=level, lag_ms=self._lag_ms, interim_ms=interim_ms, durable=self._durable))
