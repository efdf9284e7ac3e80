"""A realtime session's configuration, in its two shapes: GA (`session.update`) and beta
(`transcription_session.update`). What is not sent stays; what is not known is kept to be shown, or ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec

from streaming.protocol.messages import AudioFormat, Endpointing, SampleRate, Task

DEFAULT_VAD: Final = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
EAGERNESS_MS: Final = {"low": 1500, "medium": 800, "high": 300, "auto": 800}
"""Silence that ends a turn where `semantic_vad` is asked for: there is no such detector here."""
MANUAL_SILENCE_MS: Final = 1000
"""Between the utterances that one commit takes together."""
EXPIRES_S: Final = 3600
_LANGUAGE: Final = re.compile(r"(?P<language>[a-z]{2,3})(-[a-z0-9]+)*", re.IGNORECASE)
_BETA_FORMATS: Final = {
    "pcm16": ("audio/pcm", 24_000),
    "g711_ulaw": ("audio/pcmu", 8_000),
    "g711_alaw": ("audio/pcma", 8_000),
}
_ENCODINGS: Final = {"audio/pcm": "s16le", "audio/pcmu": "mulaw", "audio/pcma": "alaw"}
_MAX_TEXT: Final = 10_000
_MISSING: Final = object()


class BadField(Exception):
    """`param` names what has a wrong value."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param
        self.message = message


class RealtimeSession(msgspec.Struct, frozen=True, kw_only=True):
    mime: str = "audio/pcm"
    rate: int = 24_000
    transcription: dict[str, Any] | None = None
    noise_reduction: dict[str, Any] | None = None
    turn_detection: dict[str, Any] | None = msgspec.field(default_factory=lambda: dict(DEFAULT_VAD))
    include: list[str] | None = None

    @property
    def manual(self) -> bool:
        """The client says where turns end."""
        return self.turn_detection is None

    @property
    def audio(self) -> AudioFormat:
        return AudioFormat(encoding=_ENCODINGS[self.mime], sample_rate=self.rate)  # type: ignore[arg-type]

    @property
    def task(self) -> Task:
        """Raises BadField."""
        language = (self.transcription or {}).get("language") or None
        if language is None:
            return Task()
        match = _LANGUAGE.fullmatch(language) if isinstance(language, str) else None
        if match is None:
            raise BadField("transcription.language", "must be a tag such as en or en-US")
        return Task(language=match["language"].lower())

    @property
    def endpointing(self) -> Endpointing:
        """Raises BadField."""
        vad = self.turn_detection
        if vad is None:
            return Endpointing(min_silence_ms=MANUAL_SILENCE_MS)
        kind = vad.get("type")
        if kind == "semantic_vad":
            eagerness = vad.get("eagerness") or "auto"
            if eagerness not in EAGERNESS_MS:
                raise BadField("turn_detection.eagerness", f"must be one of {', '.join(EAGERNESS_MS)}")
            return Endpointing(min_silence_ms=EAGERNESS_MS[eagerness])
        if kind != "server_vad":
            raise BadField("turn_detection.type", "must be server_vad or semantic_vad")
        return Endpointing(
            threshold=min(0.95, max(0.05, _number(vad, "threshold", 0.5, 1))),
            pre_roll_ms=round(min(2000, _number(vad, "prefix_padding_ms", 300, 60_000))),
            min_silence_ms=round(min(5000, max(100, _number(vad, "silence_duration_ms", 500, 60_000)))),
        )


def changed_ga(session: RealtimeSession, update: Mapping[str, Any]) -> RealtimeSession:
    """`session` of `session.update`, laid over what holds. Raises BadField."""
    given = _object(_object(update, "audio", "session.audio"), "input", "session.audio.input")
    changes = _common(given, "session.audio.input")
    if (transcription := given.get("transcription", _MISSING)) is not _MISSING:
        changes["transcription"] = _optional_object(transcription, "session.audio.input.transcription")
    if (form := given.get("format", _MISSING)) is not _MISSING and form is not None:
        changes |= _format(form)
    return _checked(session, changes | _include(update))


def changed_beta(session: RealtimeSession, update: Mapping[str, Any]) -> RealtimeSession:
    """`session` of `transcription_session.update`. Raises BadField."""
    given = {name.removeprefix("input_audio_"): value for name, value in update.items()}
    changes = _common(given, "session")
    if (transcription := given.get("transcription", _MISSING)) is not _MISSING:
        changes["transcription"] = _optional_object(transcription, "session.input_audio_transcription")
    if (form := given.get("format")) is not None:
        if not isinstance(form, str) or form not in _BETA_FORMATS:
            raise BadField("session.input_audio_format", f"must be one of {', '.join(_BETA_FORMATS)}")
        changes["mime"], changes["rate"] = _BETA_FORMATS[form]
    return _checked(session, changes | _include(update))


def shown_ga(session: RealtimeSession, session_id: str, unix_s: float) -> dict[str, object]:
    form = {"type": session.mime, **({"rate": session.rate} if session.mime == "audio/pcm" else {})}
    return {
        "id": session_id,
        "object": "realtime.transcription_session",
        "type": "transcription",
        "expires_at": int(unix_s) + EXPIRES_S,
        "include": session.include,
        "audio": {
            "input": {
                "format": form,
                "transcription": session.transcription,
                "noise_reduction": session.noise_reduction,
                "turn_detection": session.turn_detection,
            }
        },
    }


def shown_beta(session: RealtimeSession, session_id: str, unix_s: float) -> dict[str, object]:
    names = {mime: name for name, (mime, _) in _BETA_FORMATS.items()}
    return {
        "id": session_id,
        "object": "realtime.transcription_session",
        "expires_at": int(unix_s) + EXPIRES_S,
        "input_audio_format": names[session.mime],
        "input_audio_transcription": session.transcription,
        "turn_detection": session.turn_detection,
        "input_audio_noise_reduction": session.noise_reduction,
        "include": session.include or [],
        "client_secret": None,
    }


def _common(given: Mapping[str, Any], place: str) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name in ("noise_reduction", "turn_detection"):
        if (value := given.get(name, _MISSING)) is not _MISSING:
            changes[name] = _optional_object(value, f"{place}.{name}")
    if (vad := changes.get("turn_detection")) is not None and vad.get("type") == "server_vad":
        changes["turn_detection"] = DEFAULT_VAD | vad
    return changes


def _include(update: Mapping[str, Any]) -> dict[str, Any]:
    include = update.get("include", _MISSING)
    if include is _MISSING:
        return {}
    if include is not None and not (isinstance(include, list) and all(isinstance(one, str) for one in include)):
        raise BadField("session.include", "must be a list of texts")
    return {"include": include}


def _format(form: object) -> dict[str, Any]:
    mime = form.get("type") if isinstance(form, dict) else None
    if mime not in _ENCODINGS:
        raise BadField("session.audio.input.format.type", f"must be one of {', '.join(_ENCODINGS)}")
    assert isinstance(form, dict)
    if mime != "audio/pcm":
        return {"mime": mime, "rate": 8_000}
    rate = form.get("rate", 24_000)
    if rate not in get_args(SampleRate) or isinstance(rate, bool):
        known = ", ".join(map(str, get_args(SampleRate)))
        raise BadField("session.audio.input.format.rate", f"must be one of {known}")
    return {"mime": mime, "rate": int(rate)}


def _checked(session: RealtimeSession, changes: dict[str, Any]) -> RealtimeSession:
    changed = msgspec.structs.replace(session, **changes)
    # A configuration is repeated in every answer: it may not be large.
    if len(msgspec.json.encode(changed)) > _MAX_TEXT:
        raise BadField("session", f"may have at most {_MAX_TEXT} characters")
    _ = changed.task, changed.endpointing
    return changed


def _object(given: Mapping[str, Any], name: str, param: str) -> Mapping[str, Any]:
    value = given.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadField(param, "must be an object")
    return value


def _optional_object(value: object, param: str) -> dict[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise BadField(param, "must be an object or null")
    return value


def _number(given: Mapping[str, Any], name: str, default: float, high: float) -> float:
    value = given.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
        raise BadField(f"turn_detection.{name}", f"must be a number from 0 to {high:g}")
    return float(value)
