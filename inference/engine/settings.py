"""What the engine can be told, in one frozen record; it loads nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from inference.whisper.decoding import FrontierRule
from inference.whisper.encoder import EncoderSettings
from inference.whisper.guards import FinalGuard, TokenBudget


@dataclass(frozen=True, slots=True)
class EngineSettings:
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    budget: TokenBudget = field(default_factory=TokenBudget)
    frontier: FrontierRule = field(default_factory=FrontierRule)
    guard: FinalGuard = field(default_factory=FinalGuard)
    fallback_temperatures: tuple[float, ...] = (0.0, 0.6)
    """For a final that trips the guard, over the full window; the first that passes is taken. Whisper's own ladder has
    six steps; in trials on 35 finals of digits and names two did as well, in half the time of the slowest."""
    precision: str = "auto"
    """float32, bfloat16 or int8; auto: the fastest that the device has units for."""
    tagger: str = "off"
    """What hears more than words, see `inference.tagging.load`."""
    max_batch: int = 64
    threads: int | None = None
    """CPU threads of a step; None leaves a core to the gateway."""

    def __post_init__(self) -> None:
        if self.max_batch < 1 or (self.threads is not None and self.threads < 1):
            raise ValueError(f"max_batch and threads must be at least 1: {self}")
