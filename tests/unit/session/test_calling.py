"""A session that is a call: what it tells of it, when, and where in the order of its messages."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import (
    AudioFormat,
    Call,
    CallOptions,
    CallSummary,
    Event,
    Gap,
    ServerMessage,
    Speech,
    Start,
    Stop,
    Summary,
    Transcript,
)
from streaming.session.calling import Calling
from streaming.session.core import SessionCore
from tests.support import tones
from tests.support.masking import line
from tests.support.sessions import ENDPOINTING, Driver, LoudnessDetector, audio, make_core, speech

OPTIONS = CallOptions(dead_air_ms=1_500, talk_over_ms=500, interruption_ms=1_000, keywords=["alpha bravo"])


def start(options: CallOptions | None = OPTIONS, channels: int = 2) -> Start:
    labels = ["agent", "customer"][:channels]
    return Start(audio=AudioFormat(channels=channels, labels=labels), endpointing=ENDPOINTING, call=options)


def two(*agent: tuple[float, float], customer: list[tuple[float, float]], total_s: float) -> np.ndarray:  # type: ignore[type-arg]
    return np.stack([speech(*agent, total_s=total_s), speech(*customer, total_s=total_s)], axis=1)


def near(seconds: float) -> object:
    """The detector judges frames of 32 ms."""
    return pytest.approx(seconds * 1000, abs=40)


def test_ready_repeats_what_was_asked() -> None:
    driver = Driver(make_core(start()))
    (ready,) = [message for message in driver.messages if message.__class__.__name__ == "Ready"]
    assert ready.call == OPTIONS  # type: ignore[union-attr]


def test_a_session_that_is_no_call_tells_nothing_of_one() -> None:
    driver = Driver(make_core(start(None)), answer=True)
    driver.give(audio(two((0.5, 3.0), customer=[(1.0, 4.0)], total_s=8.0)), Stop())
    assert not driver.sent(Call)
    assert not driver.sent(CallSummary)


def test_talk_over_interruption_and_dead_air_are_told_in_the_order_of_the_clock() -> None:
    driver = Driver(make_core(start()), answer=True)
    driver.give(audio(two((2.0, 4.5), customer=[(3.7, 5.5)], total_s=8.5)))
    calls = [call for call in driver.sent(Call) if call.kind != "keyword"]
    assert [(call.kind, call.phase, call.channel) for call in calls] == [
        ("dead_air", "start", None),
        ("dead_air", "end", None),
        ("talk_over", "start", None),
        ("interruption", "instant", 1),
        ("talk_over", "end", None),
        ("dead_air", "start", None),
    ]
    assert [(call.start_ms, call.end_ms) for call in calls[3:5]] == [(near(3.7), near(4.5))] * 2


def test_dead_air_is_told_within_a_block_of_its_threshold() -> None:
    driver = Driver(make_core(start(channels=1)), answer=True)
    for at in range(12):
        driver.give(audio(np.zeros(8_000, np.int16), first_sample=at * 8_000))
        assert bool(driver.sent(Call)) is ((at + 1) * 0.5 > 1.5 + 0.032)


def test_keywords_are_told_with_the_words_that_have_them() -> None:
    driver = Driver(make_core(start(channels=1)), answer=True)
    driver.give(audio(speech((0.5, 4.0), total_s=6.0)))
    (keyword,) = [call for call in driver.sent(Call) if call.kind == "keyword"]
    assert (keyword.keyword, keyword.channel, keyword.utterance) == ("alpha bravo", 0, 1)
    before = driver.messages[driver.messages.index(keyword) - 1]
    assert isinstance(before, Transcript)
    assert "charlie" in [word.text for word in before.words], "the phrase has ended"


def test_the_account_comes_right_before_the_summary() -> None:
    driver = Driver(make_core(start()), answer=True)
    driver.give(audio(two((0.5, 3.0), customer=[(4.0, 5.0)], total_s=8.0)), Stop())
    said = [message for message in driver.messages if not isinstance(message, Transcript)]
    assert isinstance(said[-1], Summary)
    assert isinstance(said[-2], CallSummary)
    assert [(call.kind, call.phase) for call in driver.sent(Call)][-1] == ("dead_air", "end")
    account = said[-2].call
    agent, customer = account.roles
    assert (agent.role, agent.talk_ms, customer.role, customer.talk_ms) == ("agent", near(2.5), "customer", near(1.0))
    assert (agent.words, customer.words) == tuple(
        sum(len(final.words) for final in driver.sent(Transcript) if final.final and final.channel == channel)
        for channel in (0, 1)
    )
    assert account.audio_ms == 8000
    assert [keyword.count for keyword in account.keywords] == [2]


def test_the_account_waits_for_the_last_final() -> None:
    driver = Driver(make_core(start()))
    driver.give(audio(two((0.5, 3.0), customer=[], total_s=5.0)), Stop())
    assert not driver.sent(CallSummary)
    final = next(job for job in driver.jobs if job.kind == "final")
    driver.reply(final, "alpha", "bravo", "charlie")
    (account,) = driver.sent(CallSummary)
    assert account.call.roles[0].words == 3


def test_a_keyword_without_a_letter_is_refused() -> None:
    with pytest.raises(ProtocolError, match=r"\$\.call\.keywords") as refused:
        make_core(start(CallOptions(keywords=["?!"])))
    assert refused.value.code == "unsupported"


def test_tones_and_sounds_are_facts_remarks_of_the_model_are_not() -> None:
    calling = Calling(start(channels=1))

    def hear(label: str, source: str, phase: str, start_ms: int, end_ms: int | None) -> None:
        event: ServerMessage = Event(
            label=label,
            channel=0,
            source=source,
            phase=phase,
            start_ms=start_ms,
            end_ms=end_ms,  # type: ignore[arg-type]
        )
        assert calling.hear(event) == []

    hear("dtmf_5", "tones", "start", 100, None)
    hear("dtmf_5", "tones", "end", 100, 180)
    hear("dtmf_9", "description", "instant", 300, 380)
    hear("Music", "tagger", "start", 1000, None)
    hear("Music", "tagger", "end", 1000, 9000)
    hear("Music", "description", "instant", 20_000, 29_000)
    *told, summary = calling.finish(16_000 * 40)
    assert isinstance(summary, CallSummary)
    assert [(key.label, key.start_ms, key.end_ms) for key in summary.call.keys] == [("5", 100, 180)]
    assert [(span.start_ms, span.end_ms) for span in summary.call.hold.spans] == [(1000, 9000)]
    assert {call.kind for call in told if isinstance(call, Call)} == {"hold", "dead_air"}


def ringing_then_keys(redact: bool) -> Driver:
    """Eight seconds of ringing on the agent's channel, then keys on the customer's."""
    ringing = tones.cadence((440, 480), (2000, 4000), 8.0)
    keyed = tones.keys("41#")
    rows = [np.zeros(16_000 * 16), np.zeros(16_000 * 16)]
    rows[0][: len(ringing)] = ringing
    rows[1][16_000 * 13 : 16_000 * 13 + len(keyed)] = keyed
    begin = msgspec.structs.replace(start(), redact=["phone"] if redact else [])
    driver = Driver(SessionCore("s", begin, lambda name: Deaf()), answer=True)
    driver.give(audio(np.stack([tones.pcm(row) for row in rows], axis=1)), Stop())
    return driver


class Deaf(LoudnessDetector):
    """Nobody speaks."""

    def probability(self, frame: np.ndarray) -> float:  # type: ignore[type-arg]
        return 0.0


@pytest.mark.parametrize(("redact", "labels"), [(False, ["4", "1", "#"]), (True, ["?", "?", "?"])])
def test_real_tones_are_in_the_account_and_keys_hidden_where_numbers_are(redact: bool, labels: list[str]) -> None:
    driver = ringing_then_keys(redact)
    (account,) = (message.call for message in driver.sent(CallSummary))
    assert [(key.label, key.channel) for key in account.keys] == [(label, 1) for label in labels]
    assert [(tone.label, tone.channel) for tone in account.tones] == [("ringback", 0)]
    ringing_until = account.tones[0].end_ms
    assert [(span.start_ms, span.end_ms) for span in account.dead_air.spans] == [(ringing_until, 16_000)]
    events = {event.label for event in driver.sent(Event) if event.channel == 1}
    assert events == ({"dtmf_masked"} if redact else {"dtmf_4", "dtmf_1", "dtmf_pound"})


def test_words_of_an_utterance_that_is_lost_are_forgotten() -> None:
    calling = Calling(start())
    calling.hear(Speech(channel=0, state="started", utterance=1, at_ms=0))
    for utterance, channel in ((2, 1), (3, 0)):
        calling.hear(line("alpha", final=False, utterance=utterance, channel=channel))
    calling.hear(Gap(from_sample=0, to_sample=5, reason="lost", channel=0))
    state = calling.state()
    assert state is not None
    assert list(state.words) == [2, 3]
