"""A call's account depends on its facts, not on how the clock goes on between them, nor on stops on the way."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.telephony import CallEvent, CallModel, CallSettings, Word, summarise

STEP = 1_600  # 0.1 s
KEYWORDS = ("b c", "a", "c a b")
SETTINGS = CallSettings(
    dead_air_samples=30 * STEP,
    talk_over_samples=7 * STEP,
    interruption_samples=8 * STEP,
    hold_samples=20 * STEP,
    keywords=KEYWORDS,
)

Span = tuple[int, int]


def spans(random: Random, until: int) -> list[Span]:
    """In steps, one after another."""
    found, at = [], random.randrange(20)
    while at < until:
        end = at + random.choice((1, 3, 10, 40, 150))
        found.append((at, min(end, until)))
        at = end + random.choice((1, 2, 8, 35, 120))
    return [(begin, end) for begin, end in found if begin < end]


class Script:
    """Facts of a call of one minute or two, each with the moment at which it is told."""

    def __init__(self, seed: int, channels: int) -> None:
        random = Random(seed)
        self.channels = channels
        self.until = random.randrange(50, 1200)
        self.talk = [spans(random, self.until) for _ in range(channels)]
        sounds = [
            (random.choice(("Music", "ringback", "beep", "dtmf_5", "Dog")), channel, *span)
            for channel in range(channels)
            for span in spans(random, self.until)
        ]
        facts: list[tuple[int, int, object]] = []
        for channel, talk in enumerate(self.talk):
            for begin, end in talk:
                facts += [(begin, 2, ("on", channel, begin)), (end, 0, ("off", channel, end))]
        for label, channel, begin, end in sounds:
            facts += [(begin, 1, ("sound", label, channel, "start", begin, None))]
            facts += [(end, 1, ("sound", label, channel, "end", begin, end))]
        for utterance in range(random.randrange(12)):
            at = random.randrange(self.until)
            text = [random.choice("abc") for _ in range(random.randrange(1, 9))]
            facts.append((at, 3, ("words", random.randrange(channels), utterance, at, text)))
        self.facts = sorted(facts, key=lambda fact: fact[:2])

    def play(self, clock: Random, *, stops: bool = False) -> tuple[CallModel, list[CallEvent]]:
        call, events = CallModel(self.channels, SETTINGS), list[CallEvent]()
        for at, _, fact in self.facts:
            for _ in range(clock.choice((0, 1, 1, 4))):
                known = [clock.randrange(at * STEP + 1) for _ in range(self.channels)]
                events += call.advance(known)
                if stops:
                    stored = call.state()
                    call = CallModel(self.channels, SETTINGS)
                    call.restore(stored)
            events += _tell(call, fact)
        events += call.finish(self.until * STEP)
        return call, events


def _tell(call: CallModel, fact: object) -> Sequence[CallEvent]:
    match fact:
        case ("on", int(channel), int(at)):
            call.speech_started(channel, at * STEP)
        case ("off", int(channel), int(at)):
            call.speech_ended(channel, at * STEP)
        case ("sound", str(label), int(channel), phase, int(begin), end):
            call.sound(channel, label, phase, begin * STEP, end * STEP if isinstance(end, int) else None)  # type: ignore[arg-type]
        case ("words", int(channel), int(utterance), int(at), list(text)):
            words = [Word(part, (at + n) * STEP, (at + n + 1) * STEP) for n, part in enumerate(text)]
            return [
                *call.words(channel, utterance, words, final=False),
                *call.words(channel, utterance, words, final=True),
            ]
    return []


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), clock=st.integers(0, 2**32), channels=st.sampled_from([1, 2]))
def test_the_clocks_steps_change_nothing(seed: int, clock: int, channels: int) -> None:
    script = Script(seed, channels)
    call, events = script.play(Random(clock))
    again, same = script.play(Random(clock + 1))
    assert summarise(call) == summarise(again)
    timeline, words = _apart(events)
    assert (timeline, words) == _apart(same)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), clock=st.integers(0, 2**32), channels=st.sampled_from([1, 2]))
def test_a_call_goes_on_from_its_state(seed: int, clock: int, channels: int) -> None:
    script = Script(seed, channels)
    call, events = script.play(Random(clock))
    again, same = script.play(Random(clock), stops=True)
    assert again.state() == call.state()
    assert same == events


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), channels=st.sampled_from([1, 2]))
def test_the_account_is_what_counting_every_step_gives(seed: int, channels: int) -> None:
    script = Script(seed, channels)
    account = summarise(script.play(Random(seed))[0])
    speaking = [[any(begin <= at < end for begin, end in talk) for talk in script.talk] for at in range(script.until)]
    for channel, role in enumerate(account.roles):
        assert role.talk_ms == 100 * sum(step[channel] for step in speaking)
    assert account.silence.total_ms == 100 * sum(not any(step) for step in speaking)
    assert account.talk_over.total_ms == 100 * sum(sum(step) == 2 for step in speaking)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), clock=st.integers(0, 2**32), channels=st.sampled_from([1, 2]))
def test_every_start_has_its_end_and_no_two_of_a_kind_overlap(seed: int, clock: int, channels: int) -> None:
    _, events = Script(seed, channels).play(Random(clock))
    open_since: dict[tuple[str, int | None], int] = {}
    ended_at: dict[tuple[str, int | None], int] = {}
    for event in events:
        key = (event.kind, event.channel)
        if event.phase == "start":
            assert key not in open_since
            assert event.start_sample >= ended_at.get(key, 0)
            open_since[key] = event.start_sample
        if event.phase == "end":
            assert open_since.pop(key) == event.start_sample
            assert event.end_sample is not None
            assert event.end_sample >= event.start_sample
            ended_at[key] = event.end_sample
    assert open_since == {}


def _apart(events: Sequence[CallEvent]) -> tuple[list[CallEvent], list[CallEvent]]:
    """Keywords are told with their words, the others by the clock."""
    return [one for one in events if one.kind != "keyword"], [one for one in events if one.kind == "keyword"]
