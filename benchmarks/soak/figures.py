"""From samples to what grew. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.cluster.client import Told
from benchmarks.soak.run import Soak
from benchmarks.soak.watch import Sample
from streaming.session.service import RENEW_S

LEASE_S = 3 * RENEW_S
"""A session that is live does not expire before its lease, however short its time to live."""
WARM_S = 300.0
"""Growth counts from here on."""
WINDOW_S = 60.0
GROWTH = 0.05
MOST_POINTS = 120
"""Of each line in the plot."""
DESCRIPTORS = 2
"""What the median of a minute may differ by: connections come and go."""


def figures(soak: Soak, ttl_s: float) -> dict[str, Any]:
    """Ready for JSON; `missed` names what grew or was left."""
    samples = soak.samples
    growth = {name: _growth(samples, name) for name in (samples[-1].processes if samples else ())}
    longest_s = max((sample.keys.longest_s for sample in samples), default=0.0)
    result: dict[str, Any] = {
        "sessions": len(soak.sessions),
        "errors_raised": sum(bool(told.problem) for told in soak.sessions),
        "problems": [told.problem for told in soak.sessions if told.problem][:5],
        "sessions_without_summary": sum(told.summary is None for told in soak.sessions),
        "samples_unaccounted": sum(_unaccounted(told) for told in soak.sessions),
        "gaps": sum(len(told.gaps) for told in soak.sessions),
        "growth": growth,
        "keys_most": max((sample.keys.count for sample in samples), default=0),
        "keys_without_expiry": max((sample.keys.eternal for sample in samples), default=0),
        "longest_expiry_s": round(longest_s, 1),
        "keys_left": soak.left.count,
        "used_mb_left": soak.left.used_mb,
        **_series(samples),
    }
    return result | {"missed": _missed(result, max(ttl_s, LEASE_S))}


def _missed(result: dict[str, Any], longest_s: float) -> list[str]:
    nothing = ("errors_raised", "sessions_without_summary", "samples_unaccounted", "keys_without_expiry", "keys_left")
    found = [f"{name}: {result[name]}" for name in nothing if result[name]]
    if result["longest_expiry_s"] > longest_s:
        found.append(f"a key that expires in {result['longest_expiry_s']} s, later than {longest_s:g} s")
    for name, grew in result["growth"].items():
        if grew is None:
            continue
        if grew["memory"] > GROWTH:
            found.append(f"memory of {name} grew by {grew['memory']:.1%}")
        if grew["descriptors"] > DESCRIPTORS:
            found.append(f"{name} has {grew['descriptors']:g} descriptors more")
    return found


def _growth(samples: Sequence[Sample], name: str) -> dict[str, float] | None:
    """Between the first minute that counts and the last one; None where the run is too short for that."""
    held = [(sample.at_s, sample.processes[name]) for sample in samples if name in sample.processes]
    end_s = held[-1][0] if held else 0.0
    if end_s < WARM_S + 2 * WINDOW_S:
        return None
    first = [one for at_s, one in held if WARM_S <= at_s < WARM_S + WINDOW_S]
    last = [one for at_s, one in held if at_s >= end_s - WINDOW_S]
    before_mb, after_mb = (median(one.memory_mb for one in window) for window in (first, last))
    before_fds, after_fds = (median(one.descriptors for one in window) for window in (first, last))
    return {
        "memory_mb": after_mb,
        "memory": round(after_mb / before_mb - 1, 4),
        "descriptors": after_fds - before_fds,
    }


def _series(samples: Sequence[Sample]) -> dict[str, Any]:
    """What was held over time, thinned out."""
    kept = samples[:: -(-len(samples) // MOST_POINTS)] if samples else []
    processes = {
        name: {
            "memory_mb": [held.memory_mb if (held := sample.processes.get(name)) else None for sample in kept],
            "descriptors": [held.descriptors if (held := sample.processes.get(name)) else None for sample in kept],
        }
        for name in (samples[-1].processes if samples else ())
    }
    return {
        "at_s": [sample.at_s for sample in kept],
        "processes": processes,
        "keys": [sample.keys.count for sample in kept],
        "used_mb": [sample.keys.used_mb for sample in kept],
    }


def _unaccounted(told: Told) -> int:
    """Samples sent that the server's clock did not pass."""
    sent_ms = round(told.wire.sent[-1].until_ms) if told.wire.sent else 0
    heard_ms = told.summary.audio_ms if told.summary is not None else 0
    return abs(sent_ms - heard_ms) * 16
