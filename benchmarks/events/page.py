"""docs/events.md: its tables from the result, between two marks; the rest is written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "events.md"
RESULT: Final = ROOT / "benchmarks" / "events" / "results" / "events.json"
BEGIN: Final = "<!-- figures: python -m benchmarks.events -->"
END: Final = "<!-- end of figures -->"


def render(page: str, result: dict[str, Any]) -> str:
    """The page with its tables made anew.

    Raises:
        ValueError: the marks are missing.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has no place for its figures: {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{tables(result)}\n{END}{after}"


def tables(result: dict[str, Any]) -> str:
    return "\n\n".join([_where(result), _mixtures(result), _invented(result), _kept(result), _cost(result)]) + "\n"


def _where(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return (
        f"`python -m benchmarks.events`, {result['date'][:10]}, {machine['cores']} cores of {machine['processor']} "
        f"({', '.join(machine['features'])}), load {machine['load_1min']}, commit {result['commit']}."
    )


def _mixtures(result: dict[str, Any]) -> str:
    lines = [
        "### Events in mixtures",
        "",
        "Three recordings of ESC-10 in 30 s on a bed of noise, so many dB above it. F1 of events with the right label "
        "whose begin is within the collar; heard: events of which something was said while they lasted; false: events "
        "that overlap nothing of their label.",
        "",
        "| band | SNR | events | F1, 250 ms | F1, 500 ms | heard | false per hour |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["mixtures"]:
        band = "telephone" if row["line"] else "wide"
        lines.append(
            f"| {band} | {row['snr_db']:g} dB | {row['events']} | {row['f1_250_ms']:.2f} | {row['f1_500_ms']:.2f} | "
            f"{100 * row['heard']:.0f} % | {row['false_per_hour']:.0f} |"
        )
    return "\n".join(lines)


def _invented(result: dict[str, Any]) -> str:
    found = result["invented"]
    roles = sorted(found["off"]["by_role"])
    lines = [
        "### Words where nobody speaks",
        "",
        f"{found['minutes']} minutes of events, music, noise and tones: words of finals by the minute.",
        "",
        f'| | all | {" | ".join(roles)} | "watching" |',
        "|---|---|" + "---|" * len(roles) + "---|",
    ]
    for name, title in (("off", "without the gate"), ("builtin", "with it")):
        row = found[name]
        each = " | ".join(f"{row['by_role'][role]:.2f}" for role in roles)
        lines.append(f"| {title} | {row['per_minute']:.2f} | {each} | {row['thanks_for_watching']} |")
    return "\n".join(lines)


def _kept(result: dict[str, Any]) -> str:
    lines = [
        "### Words where somebody speaks",
        "",
        "Of clips spread over each list; silenced: clips that had words without the gate and none with it.",
        "",
        "| list | clips | words without the gate | with it | clips silenced |",
        "|---|---|---|---|---|",
    ]
    for name, row in result["kept"].items():
        counts = f"{row['words_without']} | {row['words_with']} | {row['clips_silenced']}"
        lines.append(f"| {name} | {row['clips']} | {counts} |")
    return "\n".join(lines)


def _cost(result: dict[str, Any]) -> str:
    cost = result["cost"]
    ratios = ", ".join(f"{ratio:.3f}" for ratio in cost["ratios"])
    return (
        "### Cost\n\n"
        f"CPU time of gateway and worker for {cost['audio_s']:.0f} s of prose in four streams in real time, with the "
        f"tagger over without it, in turns: {ratios}; median {cost['median']:.3f}."
    )
