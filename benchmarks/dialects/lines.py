"""`python -m benchmarks.dialects.lines`: processor time of telephone lines, in the gateway without socket and session.

In: 20 ms of audio of each channel, as the lines send it. Out: an utterance of ten words (its begin, its end and its
final) to the line, and to the webhook with its signature. The best of REPEATS runs, as of the other wire formats.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator

from benchmarks.circumstances import circumstances
from benchmarks.dialects.cost import MESSAGES, READY, REPEATS, WORDS, utterances
from streaming.protocol.dialect import CallDialect, CallInfo, Handshake, Payload
from streaming.protocol.dialects.audiohook.stream import AudioHook
from streaming.protocol.dialects.audiosocket import AudioSocket, frame
from streaming.protocol.dialects.freeswitch import FreeSwitch
from streaming.protocol.dialects.twilio.stream import Twilio
from streaming.protocol.reports import Reporter, signature

PIECE_MS = 20
SAMPLES = 8 * PIECE_MS
"""Of a channel, at 8 kHz."""

Line = tuple[CallDialect, Iterator[list[Payload]]]
"""A line that has begun, and what it sends for each 20 ms."""


def twilio(*tracks: str) -> Line:
    line = Twilio(Handshake(path="/twilio"))
    line.receive(json.dumps({"event": "start", "start": {"callSid": "CA", "tracks": tracks}, "streamSid": "MZ"}), 0.0)
    payload = base64.b64encode(bytes(SAMPLES)).decode()

    def piece(track: str, place: int) -> str:
        media = {"track": track, "chunk": str(place + 1), "timestamp": str(place * PIECE_MS), "payload": payload}
        return json.dumps({"event": "media", "sequenceNumber": str(place), "media": media, "streamSid": "MZ"})

    return line, ([piece(track, place) for track in tracks] for place in range(MESSAGES))


def audiohook() -> Line:
    line = AudioHook(Handshake(path="/audiohook"))
    media = [{"type": "audio", "format": "PCMU", "channels": ["external", "internal"], "rate": 8000}]
    told = {"version": "2", "id": "s", "type": "open", "seq": 1, "serverseq": 0}
    line.receive(json.dumps({**told, "parameters": {"conversationId": "c", "media": media}}), 0.0)
    return line, ([bytes(2 * SAMPLES)] for _ in range(MESSAGES))


def freeswitch() -> Line:
    line = FreeSwitch(Handshake(path="/freeswitch", query=(("channels", "2"),)))
    line.receive("{}", 0.0)
    return line, ([bytes(4 * SAMPLES)] for _ in range(MESSAGES))


def audiosocket() -> Line:
    line = AudioSocket(Handshake(path=""))
    line.receive(frame(0x01, bytes(16)), 0.0)
    return line, ([frame(0x10, bytes(2 * SAMPLES))] for _ in range(MESSAGES))


LINES: dict[str, Callable[[], Line]] = {
    "Twilio, one track": lambda: twilio("inbound"),
    "Twilio, both tracks": lambda: twilio("inbound", "outbound"),
    "AudioHook, both sides": audiohook,
    "FreeSWITCH, stereo": freeswitch,
    "AudioSocket": audiosocket,
}


def line_table() -> str:
    """As Markdown."""
    rows = "".join(_row(name) for name in LINES)
    made = circumstances()
    machine, python = made["machine"]["processor"], made["versions"]["python"]
    return (
        f"| line | {PIECE_MS} ms in, µs | utterance out, µs |\n|---|---|---|\n{rows}"
        f"| the webhook | | {_best(_reports):.1f} |\n\n"
        f"{machine}, Python {python}; the best of {REPEATS} runs of {MESSAGES}, {WORDS} words in an utterance.\n"
    )


def _row(name: str) -> str:
    incoming, outgoing = _best(lambda: _incoming(LINES[name])), _best(lambda: _outgoing(LINES[name]))
    return f"| {name} | {incoming:.1f} | {outgoing:.1f} |\n"


def _best(run: Callable[[], float]) -> float:
    return min(run() for _ in range(REPEATS))


def _incoming(make: Callable[[], Line]) -> float:
    """µs"""
    line, sent = make()
    pieces = list(sent)
    begin = time.process_time()
    for payloads in pieces:
        for payload in payloads:
            line.receive(payload, 0.0)
    return (time.process_time() - begin) / MESSAGES * 1e6


def _outgoing(make: Callable[[], Line]) -> float:
    """µs"""
    line, _ = make()
    groups = utterances()
    begin = time.process_time()
    for group in groups:
        for message in group:
            line.say(message)
    return (time.process_time() - begin) / MESSAGES * 1e6


def _reports() -> float:
    """µs"""
    reporter, groups = Reporter(CallInfo(protocol="twilio", id="CA")), utterances()
    reporter.say(READY)
    begin = time.process_time()
    for group in groups:
        for message in group:
            if (report := reporter.say(message)) is not None:
                signature("secret", 1_700_000_000, report.body)
    return (time.process_time() - begin) / MESSAGES * 1e6


if __name__ == "__main__":
    print(line_table())
