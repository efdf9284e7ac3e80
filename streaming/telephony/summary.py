"""A call model's account, as the wire has it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.audio.clock import SAMPLE_RATE, samples_to_ms
from streaming.protocol.calls import CallAccount, CallHit, CallKeyword, CallRole, CallSound, CallSpan, CallSpans
from streaming.telephony.floor import Role
from streaming.telephony.model import CallModel
from streaming.telephony.sounds import Log
from streaming.telephony.spans import Spans
from streaming.telephony.state import Side


def summarise(call: CallModel, labels: Sequence[str] = ()) -> CallAccount:
    """What there is to say up to the model's position. `labels`: of the channels, as far as they have some."""
    data, keywords = call.data, call.settings.keywords
    sides = data.sides
    keys, tones = [side.keys for side in sides], [side.tones for side in sides]
    dropped = {"keys": _dropped(keys), "tones": _dropped(tones), "hits": sum(side.hits_dropped for side in sides)}
    return CallAccount(
        audio_ms=samples_to_ms(data.position),
        roles=[_role(channel, role, data.floor.roles, labels) for channel, role in enumerate(data.floor.roles)],
        talk_over=_spans(data.quiet.talk_over),
        silence=_spans(data.quiet.silence),
        dead_air=_spans(data.quiet.dead_air),
        hold=_holds(sides),
        keys=_sounds(keys),
        tones=_sounds(tones),
        keywords=[
            CallKeyword(phrase=phrase, count=count) for phrase, count in zip(keywords, data.hit_counts, strict=True)
        ],
        hits=sorted(
            (
                CallHit(
                    phrase=keywords[hit.phrase],
                    channel=channel,
                    utterance=hit.utterance,
                    start_ms=samples_to_ms(hit.start),
                    end_ms=samples_to_ms(hit.end),
                )
                for channel, side in enumerate(sides)
                for hit in side.hits
            ),
            key=lambda hit: (hit.start_ms, hit.channel, hit.phrase),
        ),
        dropped={name: count for name, count in dropped.items() if count},
    )


def _role(channel: int, role: Role, every: Sequence[Role], labels: Sequence[str]) -> CallRole:
    all_talk = sum(one.talk_samples for one in every)
    begin, end = role.longest
    return CallRole(
        channel=channel,
        role=labels[channel] if channel < len(labels) else f"channel {channel}",
        talk_ms=samples_to_ms(role.talk_samples),
        share=round(role.talk_samples / all_talk, 3) if all_talk else 0.0,
        words=role.words,
        words_per_minute=round(role.words * 60 * SAMPLE_RATE / role.talk_samples, 1) if role.talk_samples else 0.0,
        turns=role.turns,
        longest_monologue=_span(begin, end) if end > begin else None,
        interruptions=role.interruptions,
        backchannels=role.backchannels,
    )


def _spans(spans: Spans) -> CallSpans:
    return CallSpans(
        count=spans.count,
        total_ms=samples_to_ms(spans.total_samples),
        longest_ms=samples_to_ms(spans.longest_samples),
        spans=[_span(start, end) for start, end in spans.listed],
        dropped=spans.dropped,
    )


def _holds(sides: Sequence[Side]) -> CallSpans:
    """Of all channels, by their begin."""
    listed = [_span(*span, channel) for channel, side in enumerate(sides) for span in side.holds.listed]
    listed.sort(key=lambda span: (span.start_ms, span.channel))
    every = [side.holds for side in sides]
    return CallSpans(
        count=sum(spans.count for spans in every),
        total_ms=samples_to_ms(sum(spans.total_samples for spans in every)),
        longest_ms=samples_to_ms(max(spans.longest_samples for spans in every)),
        spans=listed,
        dropped=sum(spans.dropped for spans in every),
    )


def _sounds(logs: Sequence[Log]) -> list[CallSound]:
    every = [
        CallSound(
            label=sound.label,
            channel=channel,
            start_ms=samples_to_ms(sound.start),
            end_ms=samples_to_ms(sound.end),
        )
        for channel, log in enumerate(logs)
        for sound in log.sounds
    ]
    return sorted(every, key=lambda sound: (sound.start_ms, sound.channel))


def _span(start: int, end: int, channel: int | None = None) -> CallSpan:
    return CallSpan(start_ms=samples_to_ms(start), end_ms=samples_to_ms(end), channel=channel)


def _dropped(logs: Sequence[Log]) -> int:
    return sum(log.dropped for log in logs)
