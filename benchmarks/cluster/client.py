"""A client that speaks a script in real time with `tympan_client`, and notes what came over the wire and what the
application was told.

Order of calls: the script's chunks are sent when a microphone would have them, then `stop`, while another task reads
the events until the summary. What the wire brought is noted before the client leaves out what it knows already.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray
from tympan_client.events import Event, Gap, MarkerReached, Reconnected, Reconnecting, Speech, Summary, TranscriptUpdate
from tympan_client.options import AudioFormat, ConnectionOptions, SessionOptions
from tympan_client.protocol import ClientProtocol, Payload
from tympan_client.session import Session
from tympan_client.transcript import Transcript, Utterance

from benchmarks.accuracy.clips import Clip
from benchmarks.accuracy.exchange import Exchange, Received, Sent
from streaming.protocol.messages import Ack, Error, ServerMessage

CHUNK_MS = 100
MARKER_EACH_MS = 5_000
CONNECT_WINDOW_S = 60.0
TRAILING_SILENCE_S = 1.5
PATIENCE_S = 180.0
"""From `stop` to the summary."""

_decode = msgspec.msgpack.Decoder(ServerMessage).decode


@dataclass(frozen=True, slots=True)
class Outage:
    """As one application saw it: times on `time.perf_counter`."""

    lost_s: float
    reason: str
    back_s: float
    message_s: float
    """The first message after it."""


@dataclass(slots=True)
class Told:
    """What became of one session."""

    script: Clip
    wire: Exchange = field(default_factory=Exchange)
    """Everything that came, also what came twice."""
    finals: list[Utterance] = field(default_factory=list)
    """As the application put them together."""
    torn: int = 0
    """Finals whose words, put together, are not their text."""
    stable_changed: int = 0
    """Interims that took a word back which had been stable."""
    gaps: list[Gap] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    summary: Summary | None = None
    problem: str = ""
    """The error that was raised to the application."""
    problem_at_s: float = 0.0
    markers: list[MarkerReached] = field(default_factory=list)
    speech: list[tuple[str, int]] = field(default_factory=list)
    """(started or ended, utterance)"""
    acknowledged: int = 0
    """Samples that the server said are safe."""
    acknowledged_at_s: float = 0.0
    stopped_at_s: float | None = None
    over: bool = False
    connected: bool = False


class _Tapped(ClientProtocol):
    """Tells of each message before it is looked at."""

    def __init__(self, options: SessionOptions, tap: Callable[[Payload], None]) -> None:
        super().__init__(options)
        self._tap = tap

    def receive(self, payload: Payload) -> Event | None:
        self._tap(payload)
        return super().receive(payload)


async def speak(url: str, script: Clip, told: Told) -> None:
    """Never raises: what went wrong is in `told.problem`."""

    def tap(payload: Payload) -> None:
        message = _decode(payload if isinstance(payload, bytes) else payload.encode())
        told.wire.received.append(Received(time.perf_counter(), message))
        if isinstance(message, Ack):
            told.acknowledged = max(told.acknowledged, message.sample)
            told.acknowledged_at_s = time.perf_counter()

    options = SessionOptions(audio=AudioFormat(sample_rate=script.sample_rate))
    session = Session(url, _Tapped(options, tap), ConnectionOptions(connect_window_s=CONNECT_WINDOW_S))
    talking: asyncio.Task[None] | None = None
    try:
        await session.open()
        told.connected = True
        talking = asyncio.create_task(_talk(session, script, told))
        listening = asyncio.create_task(_listen(session, told))
        await asyncio.wait({talking, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            await talking
        await asyncio.wait_for(listening, PATIENCE_S)
    except Exception as error:  # noqa: BLE001 - what an application would have met
        told.problem, told.problem_at_s = f"{type(error).__name__}: {error}", time.perf_counter()
    finally:
        told.over = True
        if talking is not None:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
        await session.close()


def samples_of(script: Clip) -> NDArray[np.int16]:
    """All that is sent, in whole chunks: the script, and the silence in which its last endpoint fires."""
    silence = round(TRAILING_SILENCE_S * script.sample_rate) + -len(script.samples) % _chunk(script)
    return np.concatenate([script.samples, np.zeros(silence, np.int16)])


def markers_of(script: Clip) -> list[tuple[str, int]]:
    """(id, sample) of the markers that are sent between the audio."""
    each = MARKER_EACH_MS * script.sample_rate // 1000
    return [(str(at), at) for at in range(each, len(samples_of(script)), each)]


def _chunk(script: Clip) -> int:
    return CHUNK_MS * script.sample_rate // 1000


async def _talk(session: Session, script: Clip, told: Told) -> None:
    samples, markers = samples_of(script), {at: name for name, at in markers_of(script)}
    rate, chunk = script.sample_rate, _chunk(script)
    began_s = time.perf_counter()
    for at in range(0, len(samples), chunk):
        piece = samples[at : at + chunk]
        due_s = began_s + (at + len(piece)) / rate
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        if at in markers:
            await session.marker(markers[at])
        await session.send(piece.astype("<i2").tobytes())
        told.wire.sent.append(Sent(time.perf_counter(), (at + len(piece)) * 1000 / rate))
    told.stopped_at_s = time.perf_counter()
    await session.stop()


async def _listen(session: Session, told: Told) -> None:
    transcript = Transcript()
    stable: dict[int, list[tuple[int, str]]] = {}
    lost: tuple[float, str] | None = None
    back_s: float | None = None
    async for event in session:
        now_s = time.perf_counter()
        match event:
            case Reconnecting(reason=reason):
                told.connected = False
                lost, back_s = lost or (now_s, reason), None
                continue
            case Reconnected():
                told.connected = True
                back_s = now_s
                continue
            case TranscriptUpdate():
                utterance = transcript.apply(event)
                settled = [(word.id, word.text) for word in utterance.words if word.state != "tentative"]
                before, stable[event.utterance] = stable.get(event.utterance, []), settled
                told.stable_changed += not event.final and settled[: len(before)] != before
                if event.final:
                    told.finals.append(utterance)
                    told.torn += event.text is not None and utterance.text != event.text
            case Speech():
                told.speech.append((event.state, event.utterance))
            case MarkerReached():
                told.markers.append(event)
            case Gap():
                told.gaps.append(event)
            case Summary():
                told.summary = event
        if lost is not None and back_s is not None:
            told.outages.append(Outage(*lost, back_s, now_s))
            lost = back_s = None


def fatal_errors(told: Told) -> list[str]:
    """Codes of the errors that connections ended with; most are followed by another connection."""
    messages = (received.message for received in told.wire.received)
    return [message.code for message in messages if isinstance(message, Error) and message.fatal]
