"""The result as tables for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from benchmarks.tones.measure import GROUPS, group_of


def tables(result: dict[str, Any]) -> list[Table]:
    return [
        _table(
            "Talk-off: detections where there are no tones",
            ("speed", "kind", "hours", "keys", "an hour", "named tones", "an hour", "unnamed", "an hour"),
            _talk_off(result["talk_off"]),
        ),
        _table(
            "Keys in noise",
            ("noise", "SNR, dB", "pressed", "missed", "false"),
            [
                (row["noise"], _or_dash(row["snr_db"]), row["pressed"], row["missed"], row["false"])
                for row in result["keys_in_noise"]
            ],
        ),
        _table(
            "From a tone's first sample, ms (p50 / p95 / max)",
            ("tone", "start", "named"),
            [(kind, _spread(row["start"]), _spread(row["named"])) for kind, row in result["latency_ms"].items()],
        ),
        _table(
            f"CPU ms for each second of audio, {result['machine']['processor']}",
            ("audio", "ms"),
            list(result["cpu_ms_per_second"].items()),
        ),
    ]


def _talk_off(speeds: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for speed, kinds in speeds.items():
        for kind, row in kinds.items():
            cells: list[Any] = []
            for group in GROUPS:
                labels = [label for label in row["labels"] if group_of(label) == group]
                cells += [sum(row["labels"][label] for label in labels), row["per_hour"][group]]
            rows.append((speed, kind, f"{row['hours']:.2f}", *cells))
    return rows


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Table:
    table = Table(title=title)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*map(str, row))
    return table


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)


def _spread(percentiles: dict[str, float] | None) -> str:
    return "-" if percentiles is None else f"{percentiles['p50']} / {percentiles['p95']} / {percentiles['max']}"
