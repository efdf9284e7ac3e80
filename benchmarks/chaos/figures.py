"""From what all sessions were told to the figures of the result. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tympan_client.events import Gap

from benchmarks.accuracy.exchange import Exchange
from benchmarks.accuracy.words import NO_ERRORS, Percentiles
from benchmarks.chaos.account import Account, account
from benchmarks.chaos.injector import Injected
from benchmarks.cluster.client import Outage, Told, fatal_errors

BOUNDS: Mapping[str, float] = {
    "samples_unaccounted": 0,
    "finals_lost": 0,
    "finals_duplicated": 0,
    "finals_torn": 0,
    "speech_amiss": 0,
    "markers_amiss": 0,
    "transcripts_differ": 0,
    "wer_delta": 0,
    "errors_raised": 0,
}
"""What a run must not go beyond."""


def figures(
    clients: Sequence[Told], undisturbed: Mapping[str, Exchange], faults: Sequence[Injected], began_s: float
) -> dict[str, Any]:
    """Ready for JSON.

    Args:
        undisturbed: each script's exchange when it was the only stream, by the script's name.
        began_s: where the result's times begin.
    """
    accounts = [account(told, undisturbed[told.script.row.path]) for told in clients]
    resumes = [_resumes(told.outages, faults) for told in clients]
    hit = [value for found in resumes for value in found.values()]
    unnoticed = len(clients) * len(faults) - len(hit)
    result: dict[str, Any] = {
        "streams": len(clients),
        "faults": dict(Counter(fault.kind for fault in faults)),
        "fault_count": len(faults),
        "faults_not_settled": sum(fault.settled_s is None for fault in faults),
        "samples_unaccounted": sum(one.unaccounted for one in accounts),
        "acknowledged_s": round(sum(told.acknowledged / told.script.sample_rate for told in clients), 1),
        "finals": sum(len(told.finals) for told in clients),
        "finals_lost": sum(one.lost for one in accounts),
        "finals_duplicated": sum(one.duplicated for one in accounts),
        "finals_repeated_on_wire": sum(one.repeated for one in accounts),
        "finals_contradicted_on_wire": sum(one.contradicted for one in accounts),
        "finals_torn": sum(told.torn for told in clients),
        "stable_changed": sum(told.stable_changed for told in clients),
        "speech_amiss": sum(one.speech_amiss for one in accounts),
        "markers_amiss": sum(one.markers_amiss for one in accounts),
        "transcripts_differ": sum(one.differs for one in accounts),
        **_word_error_rates(accounts),
        "gaps": sum(len(told.gaps) for told in clients),
        "gaps_s": round(sum(_seconds(gap, told) for told in clients for gap in told.gaps), 3),
        "outages": sum(len(told.outages) for told in clients),
        "outage_reasons": dict(Counter(outage.reason for told in clients for outage in told.outages)),
        "resume_s": _percentiles(hit),
        "resume_s_with_unnoticed": _percentiles([*hit, *[0.0] * unnoticed]),
        "outage_s": _percentiles([outage.back_s - outage.lost_s for told in clients for outage in told.outages]),
        "settled_s": _percentiles([fault.settled_s - fault.ended_s for fault in faults if fault.settled_s is not None]),
        "errors_raised": sum(bool(told.problem) for told in clients),
        "problems": [
            f"stream {index} at {told.problem_at_s - began_s:.1f} s: {told.problem}"
            for index, told in enumerate(clients)
            if told.problem
        ],
        "connection_errors": dict(Counter(code for told in clients for code in fatal_errors(told))),
        "timeline": [_times(fault, began_s) for fault in faults],
        "outages_by_stream": [
            [[round(outage.lost_s - began_s, 3), round(outage.back_s - began_s, 3)] for outage in told.outages]
            for told in clients
        ],
    }
    return result | {"missed": [name for name, bound in BOUNDS.items() if result[name] > bound]}


def _resumes(outages: Sequence[Outage], faults: Sequence[Injected]) -> dict[int, float]:
    """By the fault that an outage belongs to, the newest before it: from its end, or from the loss where that is
    later, to the first message after the reconnection. 0 where the session went on before the fault's end."""
    found: dict[int, float] = {}
    for outage in outages:
        before = [index for index, fault in enumerate(faults) if fault.began_s <= outage.lost_s]
        if before:
            since_s = max(faults[before[-1]].ended_s, outage.lost_s)
            found[before[-1]] = max(found.get(before[-1], 0.0), outage.message_s - since_s)
    return found


def _word_error_rates(accounts: Sequence[Account]) -> dict[str, float]:
    errors = sum((one.errors for one in accounts), NO_ERRORS)
    undisturbed = sum((one.errors_undisturbed for one in accounts), NO_ERRORS)
    return {
        "wer": round(errors.rate, 3),
        "wer_undisturbed": round(undisturbed.rate, 3),
        "wer_delta": round(errors.rate - undisturbed.rate, 3),
    }


def _seconds(gap: Gap, told: Told) -> float:
    return (gap.to_sample - gap.from_sample) / told.script.sample_rate


def _percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """Of seconds, kept to the millisecond."""
    found = Percentiles.of(1000 * value for value in values)
    if found is None:
        return None
    return {name: value / 1000 if name != "count" else value for name, value in asdict(found).items()}


def _times(fault: Injected, began_s: float) -> dict[str, Any]:
    return {
        "kind": fault.kind,
        "target": fault.target,
        "began_s": round(fault.began_s - began_s, 3),
        "ended_s": round(fault.ended_s - began_s, 3),
        "settled_s": None if fault.settled_s is None else round(fault.settled_s - began_s, 3),
    }
