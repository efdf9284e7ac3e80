"""What the tone detectors say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Phase = Literal["start", "update", "end", "instant"]
Value = str | int | float | bool | list[float]


@dataclass(frozen=True, slots=True)
class ToneEvent:
    """One step in the life of a tone. All positions are samples at 16 kHz on the channel's clock.

    A tone begins with one `start`, is named anew by `update`, and ends with one `end`; what belongs together has the
    same `start_sample`, and of one detector (digits, or the other tones) at most one is open at a time.
    """

    label: str
    """`dtmf_0` to `dtmf_9`, `dtmf_star`, `dtmf_pound`, `dtmf_a` to `dtmf_d`; `dial_tone`, `ringback`, `busy`,
    `reorder`, `sit`, `fax_cng`, `fax_ced`, `beep`; `tone` where the kind is not known (yet)."""
    phase: Phase
    start_sample: int
    end_sample: int | None
    """First sample behind the tone's last sound; None until it has ended."""
    at_sample: int
    """Where the clock stood when this was decided: no later audio was looked at."""
    detail: Mapping[str, Value] = field(default_factory=dict)
    """`hz`: measured frequencies. `plan`: us, uk or eu. `kind` of a SIT. `on_ms`, `off_ms`: the measured cadence."""
