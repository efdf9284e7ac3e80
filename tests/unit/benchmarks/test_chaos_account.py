"""What a disturbed session is charged with: samples of which nothing was said, finals lost and said twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tympan_client.events import Gap, MarkerReached
from tympan_client.events import Summary as ClientSummary
from tympan_client.events import Word as ClientWord
from tympan_client.transcript import Utterance

from benchmarks.accuracy.clips import Clip, Row
from benchmarks.accuracy.exchange import Exchange, Received, Sent
from benchmarks.chaos.account import Account, account
from benchmarks.chaos.figures import figures
from benchmarks.chaos.injector import Injected
from benchmarks.cluster.client import Outage, Told
from streaming.protocol.messages import Speech, Transcript, Word

UTTERANCES = {1: (1000, 2000, "good"), 2: (3000, 4500, "morning")}
SENT_MS = 7500
SCRIPT_MS = 6000


def word(text: str, begin_ms: int, end_ms: int) -> Word:
    return Word(id=1, text=text, start_ms=begin_ms, end_ms=end_ms, confidence=1.0, state="final")


def exchange(*utterances: int, texts: dict[int, str] | None = None) -> Exchange:
    """What the wire brings for these utterances, one after the other; one that comes twice is said twice."""
    received = []
    for utterance in utterances:
        begin_ms, end_ms, text = UTTERANCES[utterance]
        text = (texts or {}).get(utterance, text)
        words = [word(text, begin_ms, end_ms)]
        final = Transcript(
            utterance=utterance, channel=0, revision=1, from_word=0, words=words, final=True, text=text,
            decoded_until_ms=end_ms, lag_ms=0,
        )  # fmt: skip
        for message in (
            Speech(channel=0, state="started", utterance=utterance, at_ms=begin_ms),
            Speech(channel=0, state="ended", utterance=utterance, at_ms=end_ms, rule="silence"),
            final,
        ):
            received.append(Received(0.0, message))
    return Exchange([Sent(0.0, SENT_MS)], received)


def told(*utterances: int, audio_ms: int | None = SENT_MS, texts: dict[int, str] | None = None) -> Told:
    """A session whose application was given the finals of these utterances."""
    script = Clip(Row("script", Path("script"), "good morning"), np.zeros(SCRIPT_MS * 16, np.int16), 16_000)
    session = Told(
        script,
        exchange(*utterances, texts=texts),
        acknowledged=SENT_MS * 16,
        markers=[MarkerReached(id="80000", sample=80_000)],
    )
    for utterance in utterances:
        begin_ms, end_ms, text = UTTERANCES[utterance]
        text = (texts or {}).get(utterance, text)
        words = [ClientWord(id=1, text=text, start_ms=begin_ms, end_ms=end_ms, confidence=1.0, state="final")]
        session.finals.append(Utterance(utterance, 0, words, final=True))
        session.speech += [("started", utterance), ("ended", utterance)]
    if audio_ms is not None:
        session.summary = ClientSummary(audio_ms=audio_ms, speech_ms=0, utterances=2, words=2)
    return session


def charged(session: Told) -> Account:
    return account(session, exchange(1, 2))


def test_a_session_that_said_what_the_undisturbed_one_said_is_charged_with_nothing() -> None:
    found = charged(told(1, 2))
    assert (found.unaccounted, found.lost, found.duplicated, found.differs) == (0, 0, 0, False)


def test_speech_without_a_final_is_lost_and_its_samples_are_unaccounted_for() -> None:
    found = charged(told(1))
    assert (found.unaccounted, found.lost, found.differs) == (1500 * 16, 1, True)


def test_a_gap_that_was_reported_accounts_for_the_samples() -> None:
    session = told(1)
    session.gaps.append(Gap(from_sample=3000 * 16, to_sample=4000 * 16, reason="client"))
    found = charged(session)
    assert (found.unaccounted, found.lost) == (500 * 16, 0), "half a second of the speech is outside the gap"


def test_a_clock_that_did_not_pass_all_that_was_sent_is_charged() -> None:
    assert charged(told(1, 2, audio_ms=SENT_MS - 20)).unaccounted == 20 * 16


def test_a_session_that_broke_off_is_charged_with_all_that_was_acknowledged() -> None:
    assert charged(told(1, 2, audio_ms=None)).unaccounted == SENT_MS * 16


def test_finals_are_counted_as_the_application_saw_them_and_as_the_wire_brought_them() -> None:
    session = told(1, 2)
    session.wire = exchange(1, 2, 2)
    assert (charged(session).duplicated, charged(session).repeated, charged(session).contradicted) == (0, 1, 0)
    assert charged(told(1, 2, 2)).duplicated == 1


def test_each_utterance_starts_and_ends_once() -> None:
    session = told(1, 2)
    assert charged(session).speech_amiss == 0
    session.speech.append(("started", 2))
    assert charged(session).speech_amiss == 1
    session.speech = [("started", 1), ("ended", 1), ("started", 2)]
    assert charged(session).speech_amiss == 1


def test_markers_must_come_back_once_and_at_their_place() -> None:
    session = told(1, 2)
    assert charged(session).markers_amiss == 0
    session.markers = []
    assert charged(session).markers_amiss == 1
    session.markers = 2 * [MarkerReached(id="80000", sample=80_000)]
    assert charged(session).markers_amiss == 1
    session.markers = [MarkerReached(id="80000", sample=80_160)]
    assert charged(session).markers_amiss == 2, "one is missing, and another one came"


def test_other_words_are_told_apart_from_lost_ones() -> None:
    found = charged(told(1, 2, texts={2: "mourning"}))
    assert (found.unaccounted, found.lost, found.differs) == (0, 0, True)
    assert found.errors.errors == 1
    assert found.errors_undisturbed.errors == 0


def test_resuming_is_timed_from_the_end_of_the_fault_or_from_the_loss_if_that_was_later() -> None:
    session = told(1, 2)
    session.outages = [Outage(10.5, "connection_lost", 12.5, 13.0), Outage(25.0, "goaway", 25.2, 25.3)]
    faults = [Injected("redis frozen", "redis", 10.0, 12.0, 13.0), Injected("gateway drained", "gateway-1", 24.0, 24.0)]
    found = figures([session, told(1, 2)], {"script": exchange(1, 2)}, faults, 0.0)
    assert found["resume_s"] == {"p50": 0.65, "p95": 0.965, "p99": 0.993, "count": 2}
    assert found["resume_s_with_unnoticed"]["count"] == 4
    assert found["faults_not_settled"] == 1
    assert found["missed"] == []
