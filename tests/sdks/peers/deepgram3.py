"""deepgram-sdk 3 and 4, which have the same interface."""

from __future__ import annotations

import threading
from typing import Any

from deepgram import DeepgramClient, DeepgramClientOptions, LiveOptions, LiveTranscriptionEvents, PrerecordedOptions
from exchange import Wanted, answer, wanted


def client(asked: Wanted, key: str) -> DeepgramClient:
    return DeepgramClient(key, DeepgramClientOptions(url=f"http://{asked.host}", options={"keepalive": "true"}))


def options(**more: Any) -> LiveOptions:
    return LiveOptions(
        model="nova-2",
        language="en-US",
        encoding="linear16",
        sample_rate=16_000,
        punctuate=True,
        interim_results=True,
        utterance_end_ms="1000",
        vad_events=True,
        **more,
    )


def live(asked: Wanted) -> None:
    connection = client(asked, asked.key).listen.websocket.v("1")
    finals: list[str] = []
    seen: set[str] = set()
    flushed = threading.Event()

    def on_transcript(_: Any, result: Any, **__: Any) -> None:
        best = result.channel.alternatives[0]
        seen.add("final" if result.is_final else "interim")
        if result.is_final and best.transcript:
            finals.append(best.transcript)
        if result.from_finalize:
            flushed.set()

    events = LiveTranscriptionEvents
    connection.on(events.Transcript, on_transcript)
    for event in (events.SpeechStarted, events.UtteranceEnd, events.Metadata, events.Error, events.Unhandled):
        connection.on(event, lambda *_, event=event, **__: seen.add(event.name))
    assert connection.start(options())
    for piece in asked.pieces():
        assert connection.send(piece)
    connection.finalize()
    heard_all = flushed.wait(60)
    connection.finish()
    answer(
        " ".join(finals),
        finalize=heard_all,
        interim_results="interim" in seen or asked.mode == "unpaced",  # finals go first
        vad_events="SpeechStarted" in seen,
        utterance_end="UtteranceEnd" in seen,
        no_errors=not {"Error", "Unhandled"} & seen,
    )


def recorded(asked: Wanted) -> None:
    told = (
        client(asked, asked.key)
        .listen.rest.v("1")
        .transcribe_file({"buffer": asked.wav}, PrerecordedOptions(model="nova-2", punctuate=True, utterances=True))
    )
    best = told.results.channels[0].alternatives[0]
    answer(best.transcript, words=len(best.words) > 0, utterances=len(told.results.utterances) > 0)


def refused(asked: Wanted) -> None:
    started = client(asked, "nobody-has-such-a-key").listen.websocket.v("1").start(options())
    answer("", unauthorized=not started)


ASKED = wanted()
match ASKED.mode:
    case "paced" | "unpaced":
        live(ASKED)
    case "file":
        recorded(ASKED)
    case "refused":
        refused(ASKED)
