"""assemblyai: its streaming client, version 3."""

from __future__ import annotations

from typing import Any

from assemblyai.streaming.v3 import (
    StreamingClient,
    StreamingClientOptions,
    StreamingEvents,
    StreamingParameters,
)
from exchange import RATE, Wanted, answer, wanted


def connected(asked: Wanted, key: str) -> tuple[StreamingClient, dict[str, list[Any]]]:
    client = StreamingClient(StreamingClientOptions(api_host=f"ws://{asked.host}", api_key=key))
    seen: dict[str, list[Any]] = {"begin": [], "turns": [], "termination": [], "errors": [], "started": []}
    client.on(StreamingEvents.Begin, lambda _, event: seen["begin"].append(event))
    client.on(StreamingEvents.Turn, lambda _, event: seen["turns"].append(event))
    client.on(StreamingEvents.Termination, lambda _, event: seen["termination"].append(event))
    client.on(StreamingEvents.SpeechStarted, lambda _, event: seen["started"].append(event))
    client.on(StreamingEvents.Error, lambda _, error: seen["errors"].append(error))
    client.connect(StreamingParameters(sample_rate=RATE, format_turns=True, speech_model="universal-streaming-english"))
    return client, seen


def live(asked: Wanted) -> None:
    client, seen = connected(asked, asked.key)
    for piece in asked.pieces():
        client.stream(piece)
    client.disconnect(terminate=True)
    finals = [turn for turn in seen["turns"] if turn.end_of_turn and turn.turn_is_formatted]
    answer(
        " ".join(turn.transcript for turn in finals),
        begin=len(seen["begin"]) == 1,
        speech_started=bool(seen["started"]),
        words=all(turn.words for turn in finals),
        partials=any(not turn.end_of_turn for turn in seen["turns"]) or asked.mode == "unpaced",  # finals go first
        termination=len(seen["termination"]) == 1,
        no_errors=not seen["errors"],
    )


def refused(asked: Wanted) -> None:
    _, seen = connected(asked, "nobody-has-such-a-key")
    answer("", unauthorized=[error.code for error in seen["errors"]] == [401])


ASKED = wanted()
match ASKED.mode:
    case "paced" | "unpaced":
        live(ASKED)
    case "refused":
        refused(ASKED)
