"""`GET /v1/listen`: Deepgram's live protocol.

Each channel's results cut its time into windows that follow one another: a final result freezes its window, and the
next begins where it ended. The silence before an utterance is a window with an empty transcript of its own, so that
words lie within the windows of their results.

`Finalize` becomes `finalize` and a marker: when its echo is here and the finals before it are out, each channel that
had nothing to say gets an empty result, since clients wait for `from_finalize`. `CloseStream` becomes `stop`; whatever
happens then, the connection ends with 1000, since @deepgram/sdk connects again after any other code.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from streaming.protocol.dialect import Close, Encoded, Handshake, Outcome, Payload, Reply, Source
from streaming.protocol.dialects.deepgram.request import PRE_ROLL_MS, Listen, read_query
from streaming.protocol.dialects.deepgram.shapes import (
    Alternative,
    alternative,
    audio_event,
    model_shape,
    model_uuid,
    seconds,
    timestamp,
)
from streaming.protocol.dialects.parameters import Parameters
from streaming.protocol.dialects.payloads import json_text
from streaming.protocol.dialects.samples import SampleClock
from streaming.protocol.dialects.utterances import Utterance, Utterances
from streaming.protocol.errors import CLOSE_NORMAL, ProtocolError
from streaming.protocol.messages import (
    Error,
    Event,
    Finalize,
    Gap,
    Marker,
    MarkerEcho,
    ModelInfo,
    Ready,
    ServerMessage,
    Speech,
    Start,
    Stop,
    Summary,
    Transcript,
)

IDLE_S: Final = 12.0
NOTHING_HEARD: Final = Close(
    1011,
    "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net0001",
)
UNDECODABLE: Final = Close(1008, "DATA-0000: the audio cannot be decoded")
_OPUS_CONTAINERS: Final = (b"OggS", b"\x1a\x45\xdf\xa3")
_MARKER: Final = "finalize"


class _Configure(msgspec.Struct, tag_field="type", tag="Configure"):
    keyterms: Annotated[list[Annotated[str, Meta(max_length=500)]], Meta(max_length=500)] | None = None
    features: dict[str, Any] | None = None


class _KeepAlive(msgspec.Struct, tag_field="type", tag="KeepAlive"):
    pass


class _Finalize(msgspec.Struct, tag_field="type", tag="Finalize"):
    pass


class _CloseStream(msgspec.Struct, tag_field="type", tag="CloseStream"):
    pass


_decoder: Final = msgspec.json.Decoder(_Configure | _KeepAlive | _Finalize | _CloseStream)


@dataclass(slots=True)
class _Finalizing:
    said: set[int] = field(default_factory=set)
    """Channels that had a result of it."""
    waits_for: set[int] | None = None
    """Utterances without a final when the marker was echoed; None: it is not yet."""


class DeepgramLive:
    def __init__(self, handshake: Handshake) -> None:
        """Raises ProtocolError (`unsupported`): a parameter has a wrong value."""
        self._listen: Listen = read_query(Parameters(handshake.query), live=True)
        self.start: Start | None = self._listen.start
        self.source: Source | None = self._listen.source
        self._max_message_bytes = handshake.max_message_bytes
        self._request_id = handshake.id
        self._created = timestamp(handshake.unix_s)
        self._last_heard = handshake.now
        self._closing = False
        self._clock = SampleClock(self._listen.start.audio)
        self._sha256 = hashlib.sha256()
        self._heard_any = False
        self._model = ModelInfo(name="", device="", dtype="")
        self._metadata: dict[str, object] = {}
        self._utterances = Utterances()
        channels = range(self._listen.start.audio.channels)
        self._channels = len(channels)
        self._window_ms = [0] * self._channels
        """Where each channel's next window begins."""
        self._last_word_ms: list[int | None] = [None] * self._channels
        """End of the last final word since the last UtteranceEnd."""
        self._end_due_after: list[int | None] = [None] * self._channels
        """The utterance whose final a UtteranceEnd waits for."""
        self._newest_ended: list[int | None] = [None] * self._channels
        self._finalizing: deque[_Finalizing] = deque()

    # -- from the client --------------------------------------------------------------------------------------------

    def opened(self, now: float) -> list[Outcome]:
        return []

    def receive(self, payload: Payload, now: float) -> list[Outcome]:
        if self._closing:
            return []
        if len(payload) > self._max_message_bytes:
            raise ProtocolError("too_large", f"a message may have at most {self._max_message_bytes} bytes")
        self._last_heard = now
        if isinstance(payload, str):
            return self._command(payload)
        if not payload:
            return self._close_stream()
        self._sha256.update(payload)
        if self.source is None:
            return [*self._clock.take(payload)]
        if not self._heard_any and self._listen.may_be_packets and not payload.startswith(_OPUS_CONTAINERS):
            self.source = Source(packets=True)
        self._heard_any = True
        return [Encoded(payload)]

    @property
    def deadline(self) -> float | None:
        return None if self._closing else self._last_heard + IDLE_S

    def timeout(self, now: float) -> list[Outcome]:
        raise ProtocolError("idle_timeout", f"no message for {IDLE_S:g} s")

    def _command(self, text: str) -> list[Outcome]:
        try:
            message = _decoder.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return [Reply(json_text(_schema_error("not one of KeepAlive, Finalize, CloseStream, Configure")))]
        match message:
            case _Finalize():
                self._finalizing.append(_Finalizing())
                return [Finalize(), Marker(id=_MARKER)]
            case _CloseStream():
                return self._close_stream()
            case _Configure(keyterms=keyterms):
                body: dict[str, object] = {"type": "ConfigureSuccess", "request_id": self._request_id}
                kept = list(self._listen.keyterms) if keyterms is None else keyterms
                return [Reply(json_text({**body, "keyterms": kept}))]
        return []

    def _close_stream(self) -> list[Outcome]:
        self._closing = True
        return [Stop()]

    # -- from the session -------------------------------------------------------------------------------------------

    def say(self, message: ServerMessage) -> list[Payload]:
        match message:
            case Transcript():
                return self._transcript(message)
            case Speech():
                return self._speech(message)
            case Event():
                return self._event(message)
            case MarkerEcho():
                return self._marker()
            case Gap(reason="lost"):
                return self._lost(message)
            case Ready(model=model):
                self._model = model
                self._metadata = {
                    "request_id": self._request_id,
                    "model_info": model_shape(model),
                    "model_uuid": model_uuid(model),
                }
            case Summary(audio_ms=audio_ms):
                return [json_text(self._summary(audio_ms))]
            case Error(fatal=True, code=code, message=text) if code != "idle_timeout":
                return [json_text({"type": "Error", "variant": code, "description": text, "message": text})]
        return []

    def goodbye(self, code: int, reason: str) -> Close:
        if self._closing:
            return Close(CLOSE_NORMAL)
        match reason:
            case "idle_timeout":
                return NOTHING_HEARD
            case "bad_audio":
                return UNDECODABLE
        return Close(1008 if code >= 4000 else code, reason)

    def _speech(self, message: Speech) -> list[Payload]:
        channel = message.channel
        self._utterances.speech(message)
        if message.state == "ended":
            self._newest_ended[channel] = message.utterance
            return []
        said: list[Payload] = []
        if not self._utterances.any_before(message.utterance, channel):
            said += self._silence(channel, message.at_ms)
        if self._listen.vad_events:
            place = [channel, self._channels]
            said.append(json_text({"type": "SpeechStarted", "channel": place, "timestamp": seconds(message.at_ms)}))
        return said

    def _transcript(self, message: Transcript) -> list[Payload]:
        had_words = bool(message.words or message.from_word)
        utterance = self._utterances.transcript(message)
        if message.final:
            return self._final(utterance)
        early = self._utterances.any_before(utterance.id, utterance.channel)
        if not self._listen.interim_results or not had_words or early:
            return []
        return [self._results(utterance.channel, self._alternative(utterance), utterance.decoded_ms)]

    def _final(self, utterance: Utterance) -> list[Payload]:
        if utterance.words:
            self._last_word_ms[utterance.channel] = utterance.words[-1].end_ms
        return self._settled(utterance, self._alternative(utterance), utterance.decoded_ms)

    def _lost(self, gap: Gap) -> list[Payload]:
        """Whoever waits for this final is not kept waiting."""
        utterance = self._utterances.lost(gap)
        if utterance is None:
            return []
        until_ms = gap.to_sample * 1000 // self._listen.start.audio.sample_rate
        return self._settled(utterance, self._alternative(), until_ms)

    def _settled(self, utterance: Utterance, heard: Alternative, until_ms: int) -> list[Payload]:
        channel, by_finalize = utterance.channel, utterance.rule == "finalize"
        commanded = by_finalize or utterance.rule == "stop"
        ended = not self._utterances.goes_on(utterance) and (self._listen.speech_final or commanded)
        said = self._silence(channel, utterance.onset_ms)
        said.append(self._freeze(channel, heard, until_ms, speech_final=ended, from_finalize=by_finalize))
        for finalizing in self._finalizing:
            if by_finalize and channel not in finalizing.said:
                finalizing.said.add(channel)
                break
        for finalizing in self._finalizing:
            (finalizing.waits_for or set()).discard(utterance.id)
        if self._end_due_after[channel] == utterance.id:
            self._end_due_after[channel] = None
            said += self._utterance_end(channel)
        return [*said, *self._finalized()]

    def _event(self, event: Event) -> list[Payload]:
        channel = event.channel
        if event.source == "endpointing":
            if event.label != "no_speech" or not self._listen.utterance_end:
                return []
            newest = self._newest_ended[channel]
            if newest in self._utterances.waiting():
                self._end_due_after[channel] = newest
                return []
            return self._utterance_end(channel)
        if not self._listen.audio_events:
            return []
        spoken = self._utterances.open(channel)
        now_ms = max(self._window_ms[channel], spoken.decoded_ms if spoken else 0, event.end_ms or event.start_ms)
        said = self._alternative(spoken if self._listen.interim_results else None)
        return [self._results(channel, said, now_ms, audio_events=[audio_event(event)])]

    def _utterance_end(self, channel: int) -> list[Payload]:
        ended_ms = self._last_word_ms[channel]
        if ended_ms is None:
            return []
        self._last_word_ms[channel] = None
        place = [channel, self._channels]
        return [json_text({"type": "UtteranceEnd", "channel": place, "last_word_end": seconds(ended_ms)})]

    def _marker(self) -> list[Payload]:
        finalizing = next(one for one in self._finalizing if one.waits_for is None)
        finalizing.waits_for = self._utterances.waiting()
        return self._finalized()

    def _finalized(self) -> list[Payload]:
        said: list[Payload] = []
        while self._finalizing and self._finalizing[0].waits_for == set():
            done = self._finalizing.popleft()
            for channel in range(self._channels):
                if channel not in done.said:
                    until_ms = self._window_ms[channel]
                    said.append(self._freeze(channel, self._alternative(), until_ms, from_finalize=True))
        return said

    # -- results ----------------------------------------------------------------------------------------------------

    def _alternative(self, utterance: Utterance | None = None) -> Alternative:
        words = utterance.words if utterance else []
        language = utterance.language if utterance and self._listen.languages else None
        return alternative(words, punctuate=self._listen.punctuate, language=language)

    def _silence(self, channel: int, onset_ms: int) -> list[Payload]:
        """The window before an utterance, once those before it are frozen."""
        until_ms = onset_ms - PRE_ROLL_MS
        return [self._freeze(channel, self._alternative(), until_ms)] if until_ms > self._window_ms[channel] else []

    def _freeze(
        self,
        channel: int,
        heard: Alternative,
        until_ms: int,
        *,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> Payload:
        payload = self._results(
            channel, heard, until_ms, is_final=True, speech_final=speech_final, from_finalize=from_finalize
        )
        self._window_ms[channel] = max(self._window_ms[channel], until_ms)
        return payload

    def _results(self, channel: int, heard: Alternative, until_ms: int, **fields: object) -> Payload:
        start_ms = self._window_ms[channel]
        body: dict[str, object] = {
            "type": "Results",
            "channel_index": [channel, self._channels],
            "start": seconds(start_ms),
            "duration": seconds(max(0, until_ms - start_ms)),
            "is_final": False,
            "speech_final": False,
            "from_finalize": False,
            "channel": {"alternatives": [heard]},
            "metadata": self._metadata,
        }
        return json_text({**body, **fields})

    def _summary(self, audio_ms: int) -> dict[str, object]:
        return {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self._request_id,
            "sha256": self._sha256.hexdigest(),
            "created": self._created,
            "duration": seconds(audio_ms),
            "channels": self._channels,
            "models": [model_uuid(self._model)],
            "model_info": {model_uuid(self._model): model_shape(self._model)},
        }


def _schema_error(text: str) -> dict[str, object]:
    """What the client sent is not repeated: it may be speech."""
    return {"type": "Error", "variant": "SchemaError", "description": text, "message": ""}
