import pytest

from vad.endpointer import fired_rule, rules_for
from vad.settings import EndpointSettings

RULES = rules_for(EndpointSettings(min_silence_ms=500, max_utterance_ms=10_000, no_speech_ms=3_000))


@pytest.mark.parametrize(
    ("in_utterance", "silence_ms", "length_ms", "rule"),
    [
        (True, 499, 5_000, None),
        (True, 500, 5_000, "silence"),
        (True, 0, 9_968, None),
        (True, 0, 9_969, "max_length"),  # the next frame of 32 ms would be too much
        (True, 500, 10_000, "silence"),  # silence is asked first
        (False, 2_999, 0, None),
        (False, 3_000, 0, "no_speech"),
        (True, 400, 400, None),
    ],
)
def test_the_first_rule_whose_conditions_hold_fires(
    in_utterance: bool, silence_ms: int, length_ms: int, rule: str | None
) -> None:
    fired = fired_rule(
        RULES, in_utterance=in_utterance, trailing_silence_samples=silence_ms * 16, length_samples=length_ms * 16
    )
    assert fired == rule


def test_without_no_speech_nothing_is_ever_said_between_utterances() -> None:
    rules = rules_for(EndpointSettings())
    assert fired_rule(rules, in_utterance=False, trailing_silence_samples=10**9, length_samples=0) is None
