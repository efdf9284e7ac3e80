"""Each kind of result as a table in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Result = dict[str, Any]
PERCENTILES = ("p50", "p95", "p99")


def rows(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column reads left, the others right."""
    head = "| " + " | ".join(headings) + " |"
    rule = "|---|" + "---:|" * (len(headings) - 1)
    return "\n".join([head, rule, *("| " + " | ".join(line) + " |" for line in lines)])


def spread(percentiles: dict[str, float] | None) -> str:
    """ "120 / 700 / 910", or a dash."""
    return "-" if percentiles is None else " / ".join(f"{percentiles[name]:.0f}" for name in PERCENTILES)


def measured_on(result: Result) -> str:
    """When, on what, with which versions."""
    machine, versions = result["machine"], result["versions"]
    features = ", ".join(machine["features"]) or "no vector features noted"
    return (
        f"{result['date'][:10]}, commit {result['commit']}; {machine['processor']}, {machine['cores']} cores "
        f"({features}), load {machine['load_1min']} at the end; Python {versions['python']}, torch {versions['torch']}."
    )


def engine(result: Result) -> str:
    """Results of `benchmarks.engine`, one column for each number of streams."""
    found = result["rows"]
    parts = sorted({part for row in found for part in row["ms_per_audio_s"]})
    figures: list[tuple[str, Callable[[Result], str]]] = [
        ("seconds of audio per second", lambda row: f"{row['audio_s_per_s']:.1f}"),
        ("step, ms (p50 / p95)", lambda row: f"{row['step_ms']['p50']:.0f} / {row['step_ms']['p95']:.0f}"),
        ("encoder frames per second of audio", lambda row: f"{row['frames_per_audio_s']:.0f}"),
        ("decoder calls per second of audio", lambda row: f"{row['decoder_calls_per_audio_s']:.1f}"),
        ("decoder rows per second of audio", lambda row: f"{row['decoder_rows_per_audio_s']:.0f}"),
        ("of these projected onto the vocabulary", lambda row: f"{row['projected_rows_per_audio_s']:.0f}"),
    ]
    lines = [[name, *(cell(row) for row in found)] for name, cell in figures]
    lines += [
        [f"{part}, ms per second of audio", *(f"{row['ms_per_audio_s'].get(part, 0.0):.1f}" for row in found)]
        for part in parts
    ]
    threads = f"Threads: {result['threads']}, {result['precision']}. {measured_on(result['circumstances'])}"
    return f"{threads}\n\n{rows(['streams at once', *(str(row['streams']) for row in found)], lines)}"


def gateway(result: Result) -> str:
    """Results of `benchmarks.gateway`."""
    lines = [
        [
            f"{case['audio']}, {'no detector' if case['detector'] == 'none' else case['detector']}",
            f"{case['us_per_message']:.0f}",
            f"{case['cpu_share']:.2f}",
            f"{case['kb_per_session']:.0f}",
            str(case["broken"]),
        ]
        for case in result["cases"]
    ]
    head = f"{result['sessions']} sessions, {result['chunk_ms']} ms of audio a message. {measured_on(result)}"
    headings = ["what they send, and the detector", "µs of CPU a message", "share of a core", "KB a session", "broken"]
    return f"{head}\n\n{rows(headings, lines)}"


def load(result: Result) -> str:
    """Results of `benchmarks.load`, one row for each stage."""
    settings = result["settings"]
    lines = []
    for stage in sorted(result["stages"], key=lambda stage: int(stage["streams"])):
        use = stage["processes"]
        workers = sum(share["cpu_share"] for role, share in use.items() if role.startswith("worker"))
        wer = "-" if stage["wer"] is None else f"{stage['wer']:.1f} / {stage['wer_alone']:.1f}"
        lines.append(
            [
                str(stage["streams"]),
                *(spread(stage[name]) for name in ("partial_lag_ms", "ttfs_ms", "first_interim_ms")),
                "-" if stage["upwr"] is None else f"{stage['upwr']:.2f}",
                wer,
                str(stage["streams_with_other_words"]),
                f"{stage['errors']} / {stage['refused']} / {stage['gaps']}",
                f"{workers:.2f} / {use.get('gateway', {}).get('cpu_share', 0.0):.2f}",
                f"{stage['scheduler'].get('jobs_per_batch', 0):.1f}",
                "kept" if not stage["missed"] else "; ".join(stage["missed"]),
            ]
        )
    headings = [
        *("streams", "partial lag, ms", "TTFS, ms", "first interim, ms", "UPWR", "WER / alone, %", "other words"),
        *("errors / refused / gaps", "cores: workers / gateway", "jobs a batch", "budget"),
    ]
    command = f"tympan serve {settings['serve_args']}".strip()
    head = (
        f"`{result['manifest']}`, {settings['duty']:.0%} speech, {settings['seconds']:g} s a stream, "
        f"{settings['chunk_ms']} ms a message, `{command}`. {measured_on(result)}\n\n"
        f"Knee: **{result['knee']} streams**."
    )
    return f"{head}\n\n{rows(headings, lines)}"


def peers(result: Result) -> str:
    """Results of `benchmarks.peers`: the last stage inside the budget and the first outside of each server."""
    ours = result["ours"]["knee"]
    lines = []
    for name, found in [("tympan", result["ours"]), *result["peers"].items()]:
        stages = sorted(found["stages"], key=lambda stage: int(stage["streams"]))
        inside = [stage for stage in stages if stage["streams"] <= found["knee"]][-1:]
        outside = [stage for stage in stages if stage["streams"] > found["knee"]][:1]
        ratio = "" if name == "tympan" else f"{ours / found['knee']:.0f}" if found["knee"] else f"more than {ours}"
        lines.append([name, str(found["knee"]), _stage(inside), _stage(outside), ratio])
    head = (
        f"`{result['manifest']}`, {result['seconds']:g} s a stream, 100 % speech, budget: partial lag p95 at most "
        f"{result['lag_budget_ms']:g} ms. {measured_on(result)}"
    )
    headings = ["server", "knee", "partial lag there, ms", "and beyond it", "ours / its"]
    return f"{head}\n\n{rows(headings, lines)}"


def _stage(stages: Sequence[Result]) -> str:
    return "".join(f"{stage['streams']} streams: {spread(stage['partial_lag_ms'])}" for stage in stages) or "-"


def gpu(result: Result) -> str:
    """Results of `benchmarks.gpu`."""
    ceilings = result["ceilings"]
    lines = []
    for name, found in result["geometries"].items():
        for row in found["rows"]:
            if "problem" in row:
                lines.append([name, str(row["streams"]), row["problem"], "", "", "", ""])
                continue
            lines.append(
                [
                    name,
                    str(row["streams"]),
                    *(f"{row[key]:.1f}" for key in ("step_ms", "encode_ms", "decode_ms")),
                    *(f"{row[key] / ceilings[key]:.0%}" for key in ("flops_per_s", "bytes_per_s")),
                ]
            )
    head = (
        f"{result['device']}, {result['dtype']}; at most {ceilings['bytes_per_s'] / 1e9:.0f} GB/s and "
        f"{ceilings['flops_per_s'] / 1e12:.2f} TFLOP/s. {measured_on(result)}"
    )
    headings = ["model", "streams", "step, ms", "encoder, ms", "decoder, ms", "of the FLOP/s", "of the GB/s"]
    return f"{head}\n\n{rows(headings, lines)}"


KINDS: dict[str, tuple[str, Callable[[Result], str]]] = {
    "load": ("Live streams, 100 % speech", load),
    "load-call": ("Live streams, 40 % speech, as in a call", load),
    "load-overload": ("Twice the knee", load),
    "peers": ("Beside other servers", peers),
    "engine": ("The engine alone", engine),
    "gateway": ("The gateway alone", gateway),
    "gpu": ("One device, one batch", gpu),
}
"""Name of a kept result → heading and table."""
