"""The session core with a scripted detector, scripted answers and a fake clock."""

import msgspec
import numpy as np
import pytest

from inference.pool.interface import BLOCK_SAMPLES, Hypothesis, JobError, Sound
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import (
    Ack,
    Audio,
    AudioFormat,
    ClientMessage,
    Configure,
    Error,
    Event,
    Finalize,
    Gap,
    Load,
    Marker,
    MarkerEcho,
    Ready,
    Speech,
    Start,
    Stop,
    Summary,
    Transcript,
)
from streaming.session.effects import CloseStream, Discard, OpenStream, SlowReader, StoreAudio
from streaming.session.settings import SessionSettings
from tests.support.sessions import ENDPOINTING, MODEL, Driver, answer_to, audio, make_core, speech

HALF_S = 8_000


def finals(driver: Driver) -> list[Transcript]:
    return [message for message in driver.sent(Transcript) if message.final]


def test_a_session_begins_with_its_streams_and_ready() -> None:
    driver = Driver(make_core(Start(audio=AudioFormat(channels=2, sample_rate=8000), interim="off")))
    assert [effect.stream for effect in driver.effects if isinstance(effect, OpenStream)] == ["s/0", "s/1"]
    (ready,) = driver.sent(Ready)
    assert (ready.session, ready.next_sample, ready.interim) == ("s", 0, "off")
    assert ready.audio.sample_rate == 8000


def test_speech_becomes_an_utterance_with_interims_on_the_grid_and_one_final() -> None:
    driver = Driver(make_core(), answer=True)
    driver.give(audio(speech((1.0, 3.0), total_s=5.0)), Stop())

    started, ended = driver.sent(Speech)
    assert (started.state, started.utterance) == ("started", 1)
    assert 990 <= started.at_ms <= 1000
    assert (ended.state, ended.rule) == ("ended", "silence")
    assert 3500 <= ended.at_ms <= 3540, "the endpoint fires min_silence_ms after the speech"

    interims = [job.until_sample for job in driver.jobs if job.kind == "interim"]
    assert interims == [3 * HALF_S, 4 * HALF_S, 5 * HALF_S, 6 * HALF_S]
    (final,) = [job for job in driver.jobs if job.kind != "interim"]
    assert final.start_sample % 320 == 0
    assert final.start_sample <= 16_000 - 200 * 16 < final.start_sample + 832
    assert 3.2 * 16_000 <= final.until_sample <= 3.25 * 16_000
    assert [message.text for message in finals(driver)] == ["alpha bravo charlie delta"]


def test_the_engine_gets_an_utterances_audio_without_holes_and_before_the_jobs_that_need_it() -> None:
    samples = speech((0.6, 2.2), total_s=4.0)
    driver = Driver(make_core())
    driver.give(audio(samples))
    (final,) = [job for job in driver.jobs if job.kind == "final"]
    held_until = final.start_sample
    pcm = b""
    for piece in driver.appended(1):
        assert piece.first_sample == held_until
        held_until += len(piece.pcm) // 2
        assert held_until % BLOCK_SAMPLES == 0 or held_until == final.until_sample
        pcm += piece.pcm
    first = final.start_sample
    assert pcm == samples[first:held_until].tobytes()
    assert driver.core.segment_pcm(1) == (first, samples[first : final.until_sample].tobytes())


def test_a_job_binds_the_words_that_are_stable_when_it_starts() -> None:
    driver = Driver(make_core())
    driver.give(audio(speech((0.5, 4.0), total_s=3.0)))
    first, second, third = driver.jobs[:3]
    assert driver.core.prefix_tokens(first) == ()
    driver.reply(first, "so", "we")
    driver.reply(second, "so", "we", "went")
    hypothesis = answer_to(third, ["so", "we"])
    assert driver.core.prefix_tokens(third) == hypothesis.words[0].tokens + hypothesis.words[1].tokens
    states = [word.state for word in driver.sent(Transcript)[-1].words]
    assert states == ["stable", "stable", "tentative"]


@pytest.mark.parametrize(("confidence", "stable_after"), [(0.65, 2), (0.64, 6), (0.45, 6), (0.44, 8)])
def test_a_word_below_the_least_confidence_needs_more_agreement(confidence: float, stable_after: int) -> None:
    """The session's defaults: two interims agree on a sure word, six on an unsure one; below that it is never stable,
    and seven answer here."""
    driver = Driver(make_core())
    driver.give(audio(speech((0.5, 4.0), total_s=4.0)))
    stable = []
    for job in driver.jobs[:7]:
        driver.reply(job, "so", "we", confidence=confidence)
        stable.append(bool(driver.core.prefix_tokens(job)))
    assert stable == [answered >= stable_after for answered in range(1, 8)]


def test_a_final_is_free_unless_the_session_asked_for_append_only() -> None:
    for policy, bound in (("stable", False), ("append_only", True)):
        driver = Driver(make_core(Start(interim=policy, endpointing=ENDPOINTING)), answer=True)
        driver.give(audio(speech((0.5, 2.5), total_s=2.6)))
        final = msgspec.structs.replace(driver.jobs[-1], kind="final")
        assert bool(driver.core.prefix_tokens(final)) is bound


class TestEarlyFinals:
    """Speech from 1 s to 3 s. Half of the 500 ms of silence that end it have passed at 3.25 s, all of them at 3.5 s."""

    PAUSED, ENDED = 54_000, 60_000

    def paused(self, start: Start | None = None, settings: SessionSettings | None = None) -> Driver:
        driver = Driver(make_core(start, settings))
        driver.give(audio(speech((1.0, 3.0), total_s=6.0)[: self.PAUSED]))
        return driver

    def go_on(self, driver: Driver, *spans_s: tuple[float, float], until: int = ENDED) -> None:
        driver.give(audio(speech((1.0, 3.0), *spans_s, total_s=6.0)[self.PAUSED : until], self.PAUSED))

    def test_in_a_pause_the_final_is_worked_out_and_leaves_when_the_endpoint_fires(self) -> None:
        driver = self.paused()
        early = driver.jobs[-1]
        assert early.kind == "early_final"
        driver.reply(early, "so", "we", "went")
        assert driver.sent(Transcript) == [], "it may not be the end yet"
        self.go_on(driver)
        (final,) = driver.sent(Transcript)
        (ended,) = [message for message in driver.sent(Speech) if message.state == "ended"]
        assert (final.final, final.text) == (True, "so we went")
        assert driver.messages.index(ended) < driver.messages.index(final)
        assert driver.jobs[-1] is early, "nothing more is asked for"
        assert [effect.utterance for effect in driver.effects if isinstance(effect, Discard)] == [1]

    def test_it_is_the_job_that_the_final_would_be(self) -> None:
        driver = self.paused()
        early = driver.jobs[-1]
        self.go_on(driver)
        final = driver.jobs[-1]
        assert msgspec.structs.replace(early, kind="final", revision=final.revision) == final

    def test_an_answer_on_its_way_when_the_endpoint_fires_is_the_final(self) -> None:
        driver = self.paused()
        early = driver.jobs[-1]
        self.go_on(driver)
        driver.reply(early, "so", "we", "went")
        assert [message.text for message in finals(driver)] == ["so we went"]
        driver.reply(driver.jobs[-1], "so", "we", "went")
        assert len(finals(driver)) == 1

    def test_no_interim_is_asked_for_in_the_pause(self) -> None:
        driver = self.paused()
        asked = len(driver.jobs)
        self.go_on(driver, until=56_200)
        assert len(driver.jobs) == asked

    def test_where_speech_goes_on_it_is_forgotten(self) -> None:
        driver = self.paused()
        early = driver.jobs[-1]
        driver.reply(early, "so", "we", "went")
        self.go_on(driver, (3.4, 4.5), until=96_000)
        (final,) = [job for job in driver.jobs if job.kind == "final"]
        assert final.until_sample > early.until_sample
        assert finals(driver) == []
        driver.reply(final, "so", "we", "went", "on")
        assert [message.text for message in finals(driver)] == ["so we went on"]

    def test_interims_go_on_where_speech_does(self) -> None:
        driver = self.paused()
        asked = len(driver.jobs)
        self.go_on(driver, (3.4, 4.5), until=72_000)
        assert [job.until_sample for job in driver.jobs[asked:]] == [56_000, 64_000, 72_000]

    def test_where_it_fails_the_final_is_asked_for_at_the_endpoint(self) -> None:
        driver = self.paused()
        early = driver.jobs[-1]
        driver.carry_out(driver.core.job_failed(JobError("s/0", 1, early.revision, "internal", "it broke")))
        self.go_on(driver)
        assert driver.jobs[-1].kind == "final"

    def test_a_marker_in_the_pause_waits_for_it_and_for_nothing_else(self) -> None:
        driver = self.paused()
        asked = len(driver.jobs)
        driver.give(Marker(id="m"))
        assert driver.sent(MarkerEcho) == []
        assert len(driver.jobs) == asked
        driver.reply(driver.jobs[-1], "so")
        assert [echo.id for echo in driver.sent(MarkerEcho)] == ["m"]

    def test_words_that_are_sent_for_good_bind_it(self) -> None:
        """Of an append_only session; an answer that does not begin with all of them is not the final."""
        for first, is_final in (("so", True), ("oh", False)):
            driver = self.paused(Start(interim="append_only", endpointing=ENDPOINTING))
            *interims, early = driver.jobs
            driver.reply(interims[0], "so", "we")
            driver.reply(interims[1], "so", "we", "went")
            bound = tuple(token for word in answer_to(early, ["so", "we"]).words for token in word.tokens)
            assert driver.core.prefix_tokens(early) == bound
            driver.reply(early, first, "we", "went")
            self.go_on(driver)
            assert bool(finals(driver)) is is_final
            assert (driver.jobs[-1] is early) is is_final

    @pytest.mark.parametrize(("message", "rule"), [(Finalize(), "finalize"), (Stop(), "stop")])
    def test_what_ends_the_utterance_in_the_pause_takes_it_too(self, message: ClientMessage, rule: str) -> None:
        driver = self.paused()
        driver.reply(driver.jobs[-1], "so", "we", "went")
        driver.give(message)
        assert [ended.rule for ended in driver.sent(Speech) if ended.state == "ended"] == [rule]
        assert [final.text for final in finals(driver)] == ["so we went"]
        assert driver.jobs[-1].kind == "early_final"

    def test_where_the_padding_changes_in_the_pause_the_final_is_asked_for(self) -> None:
        """The segment then ends elsewhere."""
        driver = self.paused()
        driver.reply(driver.jobs[-1], "so", "we", "went")
        driver.give(Configure(endpointing=msgspec.structs.replace(ENDPOINTING, pad_ms=100)))
        self.go_on(driver)
        assert finals(driver) == []
        assert driver.jobs[-1].kind == "final"

    def test_an_answer_that_comes_when_speech_goes_on_counts_for_nothing(self) -> None:
        driver = self.paused()
        early = driver.jobs[-1]
        driver.give(Marker(id="m"))
        self.go_on(driver, (3.4, 4.5), until=56_000)
        before = len(driver.messages)
        driver.reply(early, "so", "we", "went")
        assert driver.messages[before:] == [], "neither words nor the marker"
        driver.reply(driver.jobs[-1], "so", "we", "went")
        assert [echo.id for echo in driver.sent(MarkerEcho)] == ["m"]

    @pytest.mark.parametrize("answered", [True, False])
    def test_a_marker_behind_speech_that_may_have_begun_asks_for_an_interim(self, answered: bool) -> None:
        """Speech is confirmed after 64 ms. A client that waits for its marker sends nothing more that could tell."""
        driver = self.paused()
        early = driver.jobs[-1]
        if answered:
            driver.reply(early, "so")
        self.go_on(driver, (3.4, 4.5), until=55_300)
        driver.give(Marker(id="m"))
        assert driver.sent(MarkerEcho) == []
        interim = driver.jobs[-1]
        assert (interim.kind, interim.until_sample) == ("interim", 55_040)
        driver.reply(interim, "so", "we")
        assert [echo.id for echo in driver.sent(MarkerEcho)] == ["m"]
        driver.give(audio(speech(total_s=6.0)[55_300 : 55_300 + 640], 55_300), Marker(id="n"))
        driver.reply(driver.jobs[-1], "so", "we")
        assert [echo.id for echo in driver.sent(MarkerEcho)] == ["m", "n"], "it was a click"

    def test_one_that_is_answered_leaves_nothing_to_wait_for(self) -> None:
        """Though an interim that it replaced had more of the silence: no load is announced in the pause."""
        patient = msgspec.structs.replace(ENDPOINTING, min_silence_ms=5000, pad_ms=200)
        driver = Driver(make_core(Start(endpointing=patient)))
        driver.give(audio(speech((1.0, 3.0), total_s=6.0)))
        early = driver.jobs[-1]
        assert early.kind == "early_final"
        driver.reply(early, "so")
        driver.tick(10.0)
        assert driver.sent(Load) == []

    def test_an_interim_that_fails_in_the_pause_is_not_asked_for_again(self) -> None:
        driver = self.paused()
        interim, early = driver.jobs[-2:]
        driver.give(Marker(id="m"))
        driver.carry_out(driver.core.job_failed(JobError("s/0", 1, interim.revision, "internal", "it broke")))
        driver.tick(0.5)
        assert driver.jobs[-1] is early
        driver.reply(early, "so")
        assert [echo.id for echo in driver.sent(MarkerEcho)] == ["m"]

    def test_however_often_an_utterance_pauses_its_early_finals_have_at_most_twice_its_audio(self) -> None:
        spans = [(n * 0.8, n * 0.8 + 0.4) for n in range(1, 30)]
        patient = msgspec.structs.replace(ENDPOINTING, min_silence_ms=600)
        driver = Driver(make_core(Start(endpointing=patient)))
        driver.give(audio(speech(*spans, total_s=16.0)))
        early = [job for job in driver.jobs if job.kind == "early_final"]
        assert len(early) > 3
        heard = 0
        for job in early:
            heard += job.until_sample - job.start_sample
            assert heard <= 2 * (job.until_sample - job.start_sample)

    def test_two_channels_have_their_own(self) -> None:
        driver = Driver(make_core(Start(audio=AudioFormat(channels=2), endpointing=ENDPOINTING)))
        one, other = speech((1.0, 3.0), total_s=6.0), speech((1.0, 3.0), (3.4, 4.5), total_s=6.0)
        both = np.stack([one, other], axis=1)
        driver.give(audio(both[: self.PAUSED]))
        for job in [job for job in driver.jobs if job.kind == "early_final"]:
            driver.reply(job, "so")
        driver.give(audio(both[self.PAUSED : self.ENDED], self.PAUSED))
        assert [(final.channel, final.text) for final in finals(driver)] == [(0, "so")]

    def test_under_load_and_where_they_are_switched_off_there_are_none(self) -> None:
        assert {job.kind for job in self.paused(settings=SessionSettings(early_finals=False)).jobs} == {"interim"}
        driver = Driver(make_core())
        driver.give(audio(speech((0.1, 9.0), total_s=1.0)))
        driver.tick(2.1)
        driver.give(audio(speech((0.0, 1.0), total_s=1.4), 16_000))
        assert {job.kind for job in driver.jobs} == {"interim"}


def test_finals_leave_in_the_order_of_their_utterances() -> None:
    driver = Driver(make_core())
    driver.give(audio(speech((0.5, 1.5), (3.0, 4.0), total_s=6.0)))
    first, second = [job for job in driver.jobs if job.kind == "final"]
    driver.reply(second, "second")
    assert finals(driver) == []
    driver.reply(first, "first")
    assert [message.text for message in finals(driver)] == ["first", "second"]
    assert [effect.utterance for effect in driver.effects if isinstance(effect, Discard)] == [1, 2]


def test_word_ids_are_unique_in_the_session() -> None:
    driver = Driver(make_core(Start(audio=AudioFormat(channels=2), endpointing=ENDPOINTING)), answer=True)
    one = speech((0.5, 2.0), total_s=4.0)
    driver.give(audio(np.stack([one, np.roll(one, 8_000)], axis=1)), Stop())
    ids = [word.id for message in finals(driver) for word in message.words]
    assert len(ids) == len(set(ids)) > 4
    assert {message.channel for message in finals(driver)} == {0, 1}


def test_a_final_that_is_given_up_becomes_a_gap_and_an_error_never_silence() -> None:
    driver = Driver(make_core(Start(audio=AudioFormat(sample_rate=8000), endpointing=ENDPOINTING)))
    driver.give(audio(speech((0.5, 1.5), total_s=3.0, rate=8000)))
    (final,) = [job for job in driver.jobs if job.kind == "final"]
    driver.carry_out(driver.core.job_failed(JobError("s/0", 1, final.revision, "internal", "it broke")))
    (gap,) = driver.sent(Gap)
    assert (gap.reason, gap.channel) == ("lost", 0)
    assert (gap.from_sample, gap.to_sample) == (final.start_sample // 2, final.until_sample // 2)
    (error,) = driver.sent(Error)
    assert (error.code, error.fatal) == ("decode_failed", False)
    driver.give(Stop())
    assert driver.sent(Summary)[0].gaps == 1


def test_a_failed_interim_changes_nothing() -> None:
    driver = Driver(make_core())
    driver.give(audio(speech((0.5, 3.0), total_s=2.0)))
    before = len(driver.messages)
    driver.carry_out(driver.core.job_failed(JobError("s/0", 1, driver.jobs[0].revision, "internal", "it broke")))
    assert driver.messages[before:] == []


def test_answers_for_utterances_that_are_done_are_dropped() -> None:
    driver = Driver(make_core(), answer=True)
    driver.give(audio(speech((0.5, 1.5), total_s=3.0)))
    before = len(driver.messages)
    driver.reply(driver.jobs[0], "late")
    driver.reply(driver.jobs[-1], "twice")
    driver.carry_out(driver.core.hypothesis(Hypothesis("other/0", 1, 1, True, 0, ()), 0.0))
    assert driver.messages[before:] == []


def test_acks_come_at_each_half_second_and_at_the_end() -> None:
    """At 44100 Hz the half second's last samples need 139 more: those are not to be sent again either."""
    driver = Driver(make_core(Start(audio=AudioFormat(sample_rate=44100))))
    driver.give(audio(speech(total_s=1.8, rate=44100)), Stop())
    lookahead = driver.sent(Ack)[0].sample - 22_050
    assert 0 < lookahead < 200
    assert [ack.sample - lookahead for ack in driver.sent(Ack)] == [22_050, 44_100, 66_150, 79_380 - lookahead]


def test_a_marker_in_silence_is_echoed_at_once_with_its_place() -> None:
    driver = Driver(make_core(Start(audio=AudioFormat(sample_rate=8000))))
    driver.give(audio(speech(total_s=1.0, rate=8000)), Marker(id="m"))
    assert driver.sent(MarkerEcho) == [MarkerEcho(id="m", sample=8000)]


def test_a_marker_in_open_speech_asks_for_an_interim_up_to_itself_and_waits_for_it() -> None:
    driver = Driver(make_core())
    driver.give(audio(speech((0.5, 3.0), total_s=1.8)), Marker(id="m"))
    job = driver.jobs[-1]
    assert (job.kind, job.until_sample) == ("interim", 28_800)
    assert driver.appended(1)[-1].first_sample + len(driver.appended(1)[-1].pcm) // 2 == 28_800
    assert driver.sent(MarkerEcho) == []
    driver.reply(job, "so")
    assert [echo.id for echo in driver.sent(MarkerEcho)] == ["m"]
    assert driver.messages[-2].seq == -1, "numbers are the outbox's business"


def test_a_marker_on_the_grid_asks_for_nothing_more() -> None:
    driver = Driver(make_core())
    driver.give(audio(speech((0.5, 3.0), total_s=2.0)))
    asked = len(driver.jobs)
    driver.give(Marker(id="m"))
    assert len(driver.jobs) == asked
    driver.reply(driver.jobs[-1], "so")
    assert [echo.id for echo in driver.sent(MarkerEcho)] == ["m"]


def test_markers_wait_for_finals_before_them_and_keep_their_order() -> None:
    driver = Driver(make_core())
    samples = speech((0.5, 1.5), total_s=4.0)
    driver.give(audio(samples[:44_800]), Marker(id="a"), audio(samples[44_800:], 44_800), Marker(id="b"))
    assert driver.sent(MarkerEcho) == []
    (final,) = [job for job in driver.jobs if job.kind == "final"]
    driver.reply(final, "so")
    assert [echo.id for echo in driver.sent(MarkerEcho)] == ["a", "b"]


def test_a_marker_is_echoed_even_if_an_interim_fails() -> None:
    driver = Driver(make_core())
    driver.give(audio(speech((0.5, 3.0), total_s=1.8)), Marker(id="m"))
    job = driver.jobs[-1]
    driver.carry_out(driver.core.job_failed(JobError(job.stream, 1, job.revision, "internal", "it broke")))
    driver.tick(0.5)
    assert driver.jobs[-1].revision > job.revision
    assert driver.jobs[-1].until_sample == job.until_sample
    driver.reply(driver.jobs[-1], "so")
    assert [echo.id for echo in driver.sent(MarkerEcho)] == ["m"]


def test_too_many_waiting_markers_are_refused() -> None:
    driver = Driver(make_core(settings=SessionSettings(max_waiting_markers=2)))
    driver.give(audio(speech((0.5, 3.0), total_s=1.8)), Marker(id="a"), Marker(id="b"))
    with pytest.raises(ProtocolError, match="markers"):
        driver.give(Marker(id="c"))


def test_finalize_ends_open_speech_and_speech_may_go_on() -> None:
    driver = Driver(make_core(), answer=True)
    samples = speech((0.5, 4.0), total_s=6.0)
    driver.give(audio(samples[:32_000]), Finalize(), audio(samples[32_000:], 32_000), Stop())
    ended = [(message.utterance, message.rule) for message in driver.sent(Speech) if message.state == "ended"]
    assert ended == [(1, "finalize"), (2, "silence")]
    one, two = [job for job in driver.jobs if job.kind != "interim"]
    assert two.start_sample == one.until_sample


def test_finalize_in_silence_does_nothing() -> None:
    driver = Driver(make_core())
    driver.give(audio(speech(total_s=1.0)))
    before = len(driver.effects)
    driver.give(Finalize())
    assert driver.effects[before:] == []


def test_stop_ends_open_speech_and_the_summary_comes_after_the_last_final() -> None:
    driver = Driver(make_core())
    driver.give(audio(speech((0.5, 3.0), total_s=2.0)), Stop())
    assert not driver.core.finished
    driver.reply(driver.jobs[-1], "so", "we", "went")
    assert driver.core.finished
    assert isinstance(driver.messages[-2], Transcript)
    (summary,) = driver.sent(Summary)
    assert (summary.audio_ms, summary.utterances, summary.words, summary.gaps) == (2000, 1, 3, 0)
    assert 1700 <= summary.speech_ms <= 1720
    assert [effect.stream for effect in driver.core.close() if isinstance(effect, CloseStream)] == ["s/0"]


def test_what_comes_after_stop_is_ignored() -> None:
    driver = Driver(make_core(), answer=True)
    driver.give(Stop())
    before = len(driver.effects)
    driver.give(audio(speech((0.0, 1.0), total_s=1.0)), Marker(id="m"), Stop())
    assert driver.effects[before:] == []


def test_configure_changes_endpointing_from_there_on() -> None:
    driver = Driver(make_core(), answer=True)
    samples = speech((0.5, 1.0), (2.0, 2.5), total_s=5.0)
    patient = msgspec.structs.replace(ENDPOINTING, min_silence_ms=2000, detector="webrtc")
    driver.give(audio(samples[:26_000]), Configure(endpointing=patient), audio(samples[26_000:], 26_000))
    ended = [message.at_ms for message in driver.sent(Speech) if message.state == "ended"]
    assert len(ended) == 2
    assert 1500 <= ended[0] <= 1540
    assert 4500 <= ended[1] <= 4550


def test_configure_turns_interims_off_for_the_utterances_that_follow() -> None:
    driver = Driver(make_core(), answer=True)
    driver.give(Configure(interim="off", events=False), audio(speech((0.5, 3.0), total_s=4.0)))
    assert [job.kind for job in driver.jobs] == ["early_final"]
    assert [message.final for message in driver.sent(Transcript)] == [True]


def test_a_short_gap_is_reported_and_filled_with_silence() -> None:
    driver = Driver(make_core(), answer=True)
    samples = speech((0.5, 3.0), total_s=4.0)
    driver.give(audio(samples[:24_000]), audio(samples[25_600:], 25_600), Stop())
    assert driver.sent(Gap) == [Gap(from_sample=24_000, to_sample=25_600, reason="client")]
    assert [message.rule for message in driver.sent(Speech) if message.state == "ended"] == ["silence"]
    assert driver.sent(Summary)[0].audio_ms == 4000


def test_a_long_gap_ends_open_speech() -> None:
    driver = Driver(make_core(), answer=True)
    samples = speech((0.5, 1.5), (4.0, 5.0), total_s=7.0)
    driver.give(audio(samples[:24_000]), audio(samples[64_000:], 64_000), Stop())
    ended = [(message.rule, message.at_ms) for message in driver.sent(Speech) if message.state == "ended"]
    assert ended[0] == ("gap", 1500)
    assert ended[1][0] == "silence"
    assert 5500 <= ended[1][1] <= 5540, "the gap has not bent the clock"


def test_audio_that_was_sent_before_is_not_heard_twice() -> None:
    samples = speech((0.5, 1.5), total_s=3.0)
    plain, resent = Driver(make_core(), answer=True), Driver(make_core(), answer=True)
    plain.give(audio(samples), Stop())
    resent.give(audio(samples[:30_000]), audio(samples[10_000:], 10_000), Stop())
    assert resent.jobs == plain.jobs
    assert [message.text for message in finals(resent)] == [message.text for message in finals(plain)]
    assert resent.sent(Ack) == plain.sent(Ack)
    assert resent.sent(Speech) == plain.sent(Speech)


def test_bad_audio_is_refused_and_audio_too_far_ahead() -> None:
    driver = Driver(make_core(Start(audio=AudioFormat(channels=2))))
    with pytest.raises(ProtocolError, match="multiple of 4") as refused:
        driver.give(Audio(first_sample=0, data=b"\0" * 6))
    assert refused.value.code == "bad_audio"
    with pytest.raises(ProtocolError, match="60 s") as refused:
        driver.give(audio(np.zeros((10, 2), np.int16), first_sample=61 * 16_000))
    assert refused.value.code == "bad_audio"


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ProtocolError) as refused:
        make_core(Start(endpointing=msgspec.structs.replace(ENDPOINTING, threshold=2.0)))
    assert refused.value.code == "unsupported"


def test_sounds_of_finals_become_events() -> None:
    driver = Driver(make_core())
    driver.give(audio(speech((0.5, 1.5), total_s=3.0)))
    job = driver.jobs[-1]
    sound = Sound("laughs", 16_000, 24_000)
    driver.carry_out(driver.core.hypothesis(msgspec.structs.replace(answer_to(job, ["so"]), sounds=(sound,)), 0.0))
    (event,) = driver.sent(Event)
    assert (event.label, event.source, event.phase) == ("laughs", "description", "instant")
    assert (event.start_ms, event.end_ms) == (1000, 1500)


def test_no_speech_is_an_event_of_the_endpointing() -> None:
    quiet = msgspec.structs.replace(ENDPOINTING, no_speech_ms=2000)
    driver = Driver(make_core(Start(endpointing=quiet)))
    driver.give(audio(speech(total_s=5.0)))
    (event,) = driver.sent(Event)
    assert (event.label, event.source) == ("no_speech", "endpointing")


def test_late_answers_slow_interims_then_end_them_and_both_are_announced() -> None:
    driver = Driver(make_core())
    driver.give(audio(speech((0.1, 9.0), total_s=1.0)))
    driver.tick(2.1)
    driver.tick(5.1)
    driver.tick(5.2)
    assert [(load.level, load.interim_ms) for load in driver.sent(Load)] == [
        ("slow_interims", 1000),
        ("finals_only", 0),
    ]
    asked = len(driver.jobs)
    driver.give(audio(speech((0.0, 2.0), total_s=2.0), 16_000))
    assert len(driver.jobs) == asked, "no more interims"


def test_load_recovers_one_level_at_a_time() -> None:
    driver = Driver(make_core())
    driver.give(audio(speech((0.1, 9.0), total_s=1.0)))
    driver.tick(5.1)
    driver.reply(driver.jobs[-1], "so")
    for now in (5.5, 8.5, 9.0, 12.0):
        driver.tick(now)
    assert [load.level for load in driver.sent(Load)] == ["finals_only", "slow_interims", "normal"]


def test_slow_interims_come_at_every_second_block() -> None:
    driver = Driver(make_core())
    driver.give(audio(speech((0.1, 9.0), total_s=1.0)))
    driver.tick(2.1)
    asked = len(driver.jobs)
    driver.give(audio(speech((0.0, 2.0), total_s=2.0), 16_000))
    assert [job.until_sample for job in driver.jobs[asked:]] == [32_000, 48_000]


def test_interims_can_be_made_rarer_and_load_makes_them_rarer_still() -> None:
    driver = Driver(make_core(settings=SessionSettings(interim_blocks=2)))
    driver.give(audio(speech((0.1, 9.0), total_s=3.0)))
    assert [job.until_sample for job in driver.jobs] == [16_000, 32_000, 48_000]
    driver.tick(2.1)
    driver.give(audio(speech((0.0, 4.0), total_s=4.0), 48_000))
    assert [job.until_sample for job in driver.jobs[3:]] == [64_000, 96_000]
    assert [load.interim_ms for load in driver.sent(Load)] == [2000]


def test_a_store_that_fails_is_announced_once_and_so_is_its_return() -> None:
    core = make_core()
    driver = Driver(core)
    driver.carry_out(core.store_failed())
    driver.carry_out(core.store_failed())
    driver.carry_out(core.stored(8000, 0))
    assert [load.durable for load in driver.sent(Load)] == [False, True]
    assert driver.sent(Ack) == [Ack(sample=8000)]


def test_audio_is_held_back_between_the_watermarks() -> None:
    """What waits for finals counts: past the high-water mark nothing more is taken until the low one is reached."""
    driver = Driver(make_core())
    block = np.concatenate([speech((0.0, 9.0), total_s=9.0), speech(total_s=1.0)])
    at = 0
    while driver.core.can_accept:
        driver.give(audio(block, at))
        at += len(block)
    assert driver.core.backlog_samples >= 60 * 16_000
    assert at < 90 * 16_000
    waiting = [job for job in driver.jobs if job.kind == "final"]
    answered = 0
    while not driver.core.can_accept:
        driver.reply(waiting[answered], "so")
        answered += 1
    assert driver.core.backlog_samples <= 45 * 16_000
    assert answered > 1


def test_many_short_finals_hold_audio_back_too() -> None:
    driver = Driver(make_core(settings=SessionSettings(max_waiting_finals=4)))
    block = speech((0.2, 0.5), total_s=1.2)
    for n in range(4):
        assert driver.core.can_accept
        driver.give(audio(block, n * len(block)))
    assert not driver.core.can_accept


def test_silence_behind_an_utterance_without_final_holds_audio_back_too() -> None:
    """All of it is kept, for the worker and for the store: memory is bounded, however long the final takes."""
    driver = Driver(make_core())
    driver.give(audio(speech((0.2, 1.0), total_s=2.0)))
    at = 32_000
    while driver.core.can_accept:
        driver.give(audio(speech(total_s=0.5), at))
        at += 8_000
    assert 60 * 16_000 <= at < 62 * 16_000
    whole = driver.core.whole_block()
    assert whole is not None
    assert len(whole.pcm[0]) // 2 == at - whole.first_sample
    driver.reply(driver.jobs[-1], "so")
    assert driver.core.can_accept


def test_a_client_that_reads_nothing_is_told_when_a_message_does_not_fit() -> None:
    core = make_core(settings=SessionSettings(outbox_messages=4))
    core.begin(MODEL, 1 << 20)
    for number in range(3):
        core.receive(Marker(id=str(number)), 0.0)
    (effect,) = core.receive(Marker(id="3"), 0.0)
    assert isinstance(effect, SlowReader)
    core.receive(audio(speech(total_s=0.5)), 0.0)
    assert not [block for block in core.work(0.0) if isinstance(block, StoreAudio)], "it would not have the message"
