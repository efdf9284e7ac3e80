"""When an utterance ends: rules after Kaldi's `OnlineEndpointConfig` (online2/online-endpoint.h), as in sherpa.

A rule fires when all its conditions hold; the first that fires is the endpoint's rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vad.settings import FRAME_SAMPLES, EndpointSettings, ms_to_samples

LONG_UTTERANCE_RULES = ((0.6, 0.5), (0.75, 0.32), (0.85, 0.2))
"""From this share of the longest utterance on, this share of the usual trailing silence ends it."""

FiredRule = Literal["silence", "max_length", "no_speech"]


@dataclass(frozen=True, slots=True)
class EndpointRule:
    name: FiredRule
    in_utterance: bool
    """True: applies while an utterance is open. False: applies between utterances."""
    min_trailing_silence_samples: int
    min_length_samples: int


def rules_for(settings: EndpointSettings) -> tuple[EndpointRule, ...]:
    """The rules in the order in which they are asked.

    An utterance that grows long ends at ever shorter pauses, so that the split in the middle of speech is rare: that
    one takes back words that were shown.
    """
    # A rule is asked once a frame: the longest utterance must end before the next frame could make it too long.
    longest = ms_to_samples(settings.max_utterance_ms) - FRAME_SAMPLES + 1
    silence = ms_to_samples(settings.min_silence_ms)
    rules: tuple[EndpointRule, ...] = (
        EndpointRule("silence", True, silence, 0),
        *(
            EndpointRule("max_length", True, int(silence * pause), int(longest * length))
            for length, pause in LONG_UTTERANCE_RULES
        ),
        EndpointRule("max_length", True, 0, longest),
    )
    if settings.no_speech_ms:
        rules += (EndpointRule("no_speech", False, ms_to_samples(settings.no_speech_ms), 0),)
    return rules


def fired_rule(
    rules: tuple[EndpointRule, ...], *, in_utterance: bool, trailing_silence_samples: int, length_samples: int
) -> FiredRule | None:
    """The name of the first rule that fires, or None.

    Args:
        in_utterance: whether an utterance is open.
        trailing_silence_samples: silence since the last speech, or since the begin where there was none.
        length_samples: length of the open utterance, silence included; 0 between utterances.
    """
    for rule in rules:
        if (
            rule.in_utterance == in_utterance
            and trailing_silence_samples >= rule.min_trailing_silence_samples
            and length_samples >= rule.min_length_samples
        ):
            return rule.name
    return None
