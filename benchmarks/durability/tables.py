"""Each kind of result as a table in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.chaos.table import rows as chaos_rows
from benchmarks.performance.tables import measured_on
from benchmarks.performance.tables import rows as table
from benchmarks.soak.table import rows as soak_rows
from benchmarks.store_cost.table import rows as cost_rows

Result = dict[str, Any]


def chaos(result: Result) -> str:
    """Results of `benchmarks.chaos`."""
    settings = result["settings"]
    head = (
        f"`python -m benchmarks.chaos --minutes {result['minutes']:g} --streams {result['streams']} "
        f"--seed {settings['seed']}`: `{result['manifest']}`, {settings['duty']:.0%} speech, {settings['gateways']} "
        f"gateways with {settings['workers']} worker each, model {settings['model']}, "
        f"{result['acknowledged_s'] / 60:.0f} minutes of audio acknowledged, {result['finals']} finals. "
        f"{measured_on(result)} {_verdict(result)}"
    )
    return f"{head}\n\n{table(['figure', 'value', 'bound'], chaos_rows(result))}"


def cost(result: Result) -> str:
    """Results of `benchmarks.store_cost`."""
    settings = result["settings"]
    head = (
        f"`python -m benchmarks.store_cost --streams {result['streams']} --seconds {settings['seconds']:g} "
        f"--turns {result['turns']}`: `{result['manifest']}`, {settings['duty']:.0%} speech. "
        f"{measured_on(result)} {_verdict(result)}"
    )
    return f"{head}\n\n{table(['figure', 'value', 'bound'], cost_rows(result))}"


def soak(result: Result) -> str:
    """Results of `benchmarks.soak`."""
    settings = result["settings"]
    head = (
        f"`python -m benchmarks.soak --minutes {result['minutes']:g} --streams {result['streams']} "
        f"--duty {settings['duty']:g}`: `{result['manifest']}`, {settings['duty']:.0%} speech, "
        f"sessions of {settings['session_s'][0]:g} to {settings['session_s'][1]:g} s, "
        f"a time to live of {settings['time_to_live_s']:g} s, model "
        f"{settings['model']}. {measured_on(result)} {_verdict(result)}"
    )
    return f"{head}\n\n{table(['figure', 'value', 'bound'], soak_rows(result))}"


def _verdict(result: Result) -> str:
    return f"**Missed: {'; '.join(result['missed'])}.**" if result["missed"] else "All bounds were kept."


KINDS: dict[str, tuple[str, Callable[[Result], str]]] = {
    "chaos": ("Faults under live streams", chaos),
    "soak": ("Half an hour of sessions that come and go", soak),
    "cost": ("What it costs", cost),
}
"""Name of a kept result → heading and table."""
