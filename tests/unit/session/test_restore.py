"""A session core that goes on from a snapshot: what it asks for, what it says, and what it does not say again."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.pool.interface import JobError
from streaming.protocol.messages import (
    AudioFormat,
    Configure,
    Error,
    Finalize,
    Gap,
    Marker,
    MarkerEcho,
    Ready,
    ServerMessage,
    Speech,
    Start,
    Stop,
    Summary,
    Transcript,
    Word,
)
from streaming.session.core import SessionCore
from streaming.session.effects import Append, Send, StoreAudio
from streaming.session.markers import PendingMarker
from streaming.session.outbox import is_numbered
from streaming.session.restore import restore_core
from streaming.session.settings import SessionSettings
from streaming.session.snapshot import VERSION, BadSnapshotError, decode, encode
from tests.support.sessions import ENDPOINTING, MODEL, Driver, LoudnessDetector, audio, make_core, speech

START = Start(endpointing=ENDPOINTING)
SENTENCE = speech((1.0, 3.0), total_s=8.0)


def newest(driver: Driver) -> StoreAudio:
    return [effect for effect in driver.effects if isinstance(effect, StoreAudio)][-1]


def tails(driver: Driver, until: int) -> list[bytes]:
    """All audio of the driver's blocks."""
    blocks = [effect for effect in driver.effects if isinstance(effect, StoreAudio) and effect.first_sample < until]
    return [b"".join(pcm) for pcm in zip(*(block.pcm for block in blocks), strict=True)]


def restored(
    driver: Driver,
    said: Sequence[ServerMessage] = (),
    *,
    block: StoreAudio | None = None,
    settings: SessionSettings | None = None,
    answer: bool = False,
) -> Driver:
    """Another one that goes on from the driver's newest block, or an earlier one."""
    block = block or newest(driver)
    end = block.first_sample + len(block.pcm[0]) // 2
    numbered = [
        msgspec.structs.replace(message, seq=block.last_seq + number) for number, message in enumerate(said, start=1)
    ]
    core = restore_core(
        "s",
        driver.core.start,
        block.state,
        0,
        tails(driver, end),
        numbered,
        lambda name: LoudnessDetector(),
        settings or driver.core.settings,
    )
    return Driver(core, answer=answer, resume=True)


def said_since(driver: Driver, block: StoreAudio) -> list[ServerMessage]:
    """What the driver said behind a block."""
    return [message for message in driver.messages if is_numbered(message)][block.last_seq :]


def finals(driver: Driver) -> list[Transcript]:
    return [message for message in driver.sent(Transcript) if message.final]


class TestReady:
    def test_it_says_what_the_client_is_to_send_again(self) -> None:
        driver = Driver(make_core(Start(audio=AudioFormat(sample_rate=8000), endpointing=ENDPOINTING)))
        driver.give(audio(speech(total_s=1.3, rate=8000)), Marker(id="m"), audio(speech(total_s=1, rate=8000), 10_400))
        driver.give(Marker(id="n"))
        (ready,) = restored(driver).sent(Ready)
        assert (ready.resumed, ready.commands) == (True, 1)
        assert 16_000 < ready.next_sample == newest(driver).ack_sample < 16_100

    def test_within_a_gap_it_names_the_gaps_end(self) -> None:
        core = make_core(START)
        driver = Driver(core)
        driver.carry_out(core.receive(audio(SENTENCE[:8_000], 160_000), 0.0))
        for _ in range(3):
            driver.carry_out(core.work(0.0))
        other = restored(driver)
        assert other.sent(Ready)[0].next_sample == 160_000
        assert other.sent(Gap) == []
        other.give(audio(SENTENCE[:8_000], 160_000), Stop())
        (summary,) = other.sent(Summary)
        assert (summary.audio_ms, summary.gaps) == (10_500, 1)

    def test_settings_are_those_of_then(self) -> None:
        driver = Driver(make_core(START))
        patient = msgspec.structs.replace(ENDPOINTING, min_silence_ms=2000, detector="webrtc")
        driver.give(Configure(interim="off", endpointing=patient), audio(SENTENCE[:8_000]))
        other = restored(driver, answer=True)
        (ready,) = other.sent(Ready)
        assert (ready.interim, ready.endpointing, ready.commands) == ("off", patient, 1)
        other.give(audio(SENTENCE[8_000:], 8_000))
        (ended,) = [message for message in other.sent(Speech) if message.state == "ended"]
        assert 5_000 <= ended.at_ms <= 5_040
        assert [message.final for message in other.sent(Transcript)] == [True]


class TestEngine:
    def test_it_has_the_open_utterances_audio_again_and_the_next_interim_comes_at_the_next_block(self) -> None:
        driver = Driver(make_core(START))
        driver.give(audio(SENTENCE[:33_000]))
        other = restored(driver)
        (given_again,) = [effect for effect in other.effects if isinstance(effect, Append)]
        first = given_again.first_sample
        assert given_again.pcm == SENTENCE[first:32_000].tobytes()
        assert other.jobs == []
        other.give(audio(SENTENCE[32_000:41_000], 32_000))
        (job,) = other.jobs
        assert (job.kind, job.start_sample, job.until_sample) == ("interim", first, 40_000)
        assert job.revision > max(job.revision for job in driver.jobs)

    def test_finals_that_wait_are_asked_for_again_just_as_before(self) -> None:
        driver = Driver(make_core(START))
        driver.give(audio(SENTENCE))
        (asked,) = [job for job in driver.jobs if job.kind == "final"]
        other = restored(driver)
        (again,) = other.jobs
        assert msgspec.structs.replace(again, revision=asked.revision) == asked
        assert other.core.segment_pcm(1) == driver.core.segment_pcm(1)
        other.reply(again, "so", "we", "went")
        assert [final.text for final in finals(other)] == ["so we went"]

    def test_a_marker_that_waits_is_echoed_though_its_interim_is_lost(self) -> None:
        driver = Driver(make_core(START))
        driver.give(audio(SENTENCE[:28_800]), Marker(id="m"), audio(SENTENCE[28_800:32_000], 28_800))
        other = restored(driver)
        other.tick(0.5)
        assert other.sent(MarkerEcho) == []
        other.reply(other.jobs[-1], "so")
        assert other.sent(MarkerEcho) == [MarkerEcho(id="m", sample=28_800)]


class TestSaid:
    def test_a_final_that_was_said_is_neither_asked_for_nor_said_again_but_counts(self) -> None:
        driver = Driver(make_core(START), answer=True)
        driver.give(audio(SENTENCE))
        for block in (effect for effect in driver.effects if isinstance(effect, StoreAudio)):
            end = block.first_sample + 8_000
            other = restored(driver, said_since(driver, block), block=block, answer=True)
            other.give(audio(SENTENCE[end:], end), Stop())
            assert other.sent(Transcript) == other.sent(Speech) == []
            assert other.jobs == []
            (summary,) = other.sent(Summary)
            assert (summary.utterances, summary.words) == (1, len(finals(driver)[0].words))

    def test_a_final_that_was_given_up_is_not_tried_again(self) -> None:
        driver = Driver(make_core(START))
        driver.give(audio(SENTENCE[:60_000]))
        block = newest(driver)
        final = driver.jobs[-1]
        driver.give(audio(SENTENCE[60_000:], 60_000))
        final = driver.jobs[-1]
        driver.carry_out(driver.core.job_failed(JobError("s/0", 1, final.revision, "internal", "it broke")))
        said = said_since(driver, block)
        assert [type(message) for message in said[-2:]] == [Gap, Error]
        for heard, errors in ((said, 0), (said[:-1], 1)):
            other = restored(driver, heard, block=block)
            other.give(audio(SENTENCE[56_000:], 56_000), Stop())
            assert other.jobs == []
            assert other.sent(Gap) == []
            assert len(other.sent(Error)) == errors
            assert other.sent(Summary)[0].gaps == 1

    def test_stable_words_stay_whatever_the_model_hears_next(self) -> None:
        driver = Driver(make_core(START))
        driver.give(audio(SENTENCE[:24_000]))
        block = newest(driver)
        driver.give(audio(SENTENCE[24_000:33_000], 24_000))
        driver.reply(driver.jobs[0], "so", "we")
        driver.reply(driver.jobs[1], "so", "we", "went")
        shown = driver.sent(Transcript)[-1].words
        assert [word.state for word in shown] == ["stable", "stable", "tentative"]
        other = restored(driver, said_since(driver, block), block=block)
        other.give(audio(SENTENCE[24_000:33_000], 24_000))
        assert other.core.prefix_tokens(other.jobs[-1]) == (), "the tokens are not in the log"
        other.reply(other.jobs[-1], "oh", "he", "gone", "on")
        (again,) = other.sent(Transcript)
        assert again.from_word == 0, "nobody knows what its reader has"
        assert again.words[:2] == shown[:2]
        assert again.words[2].text == "gone"
        assert again.words[2].id > max(word.id for word in shown)
        assert again.revision > 2

    def test_words_of_the_snapshot_keep_their_tokens(self) -> None:
        driver = Driver(make_core(START))
        driver.give(audio(SENTENCE[:24_000]))
        driver.reply(driver.jobs[0], "so", "we")
        driver.give(audio(SENTENCE[24_000:32_000], 24_000))
        block = newest(driver)
        driver.reply(driver.jobs[1], "so", "we", "went")
        bound = driver.core.prefix_tokens(driver.jobs[-1])
        assert bound
        other = restored(driver, said_since(driver, block), block=block)
        other.give(audio(SENTENCE[32_000:41_000], 32_000))
        assert other.core.prefix_tokens(other.jobs[-1]) == bound

    def test_what_waited_for_the_client_is_said_unless_it_was(self) -> None:
        core = make_core(START)
        core.begin(MODEL, 1 << 20)
        effects = core.receive(audio(SENTENCE[:32_000]), 0.0)
        while core.busy:
            effects += core.work(0.0)
        blocks = [effect for effect in effects if isinstance(effect, StoreAudio)]
        assert [message for message in decode(blocks[-1].state).unsaid if isinstance(message, Speech)]
        tail = b"".join(block.pcm[0] for block in blocks)
        started = next(effect.message for effect in effects if isinstance(effect, Send))
        for said, again in (((), 1), ((msgspec.structs.replace(started, seq=1),), 0)):
            other = restore_core("s", START, blocks[-1].state, 0, [tail], said, lambda name: LoudnessDetector())
            driver = Driver(other, resume=True)
            assert len(driver.sent(Speech)) == again

    def test_a_session_that_had_said_all_is_over(self) -> None:
        driver = Driver(make_core(START), answer=True)
        driver.give(audio(SENTENCE[:20_000]), Stop())
        block = newest(driver)
        other = restored(driver, said_since(driver, block), block=block)
        assert other.core.finished
        assert [type(message) for message in other.messages] == [Ready]

    def test_one_that_was_stopping_finishes_by_itself(self) -> None:
        driver = Driver(make_core(START))
        driver.give(audio(SENTENCE[:40_000]), Stop())
        other = restored(driver)
        assert other.sent(Ready)[0].commands == 1
        other.reply(other.jobs[-1], "so")
        assert other.core.finished
        assert other.sent(Summary)[0].utterances == 1
        assert other.sent(Summary)[0].audio_ms == 2_500

    def test_a_session_that_stored_nothing_begins_anew_but_for_its_log(self) -> None:
        driver = Driver(make_core(START), answer=True)
        driver.give(audio(SENTENCE[:7_000]), Marker(id="m"))
        said = [msgspec.structs.replace(message, seq=1) for message in driver.sent(MarkerEcho)]
        core = restore_core("s", START, b"", 0, [], said, lambda name: LoudnessDetector())
        other = Driver(core, resume=True)
        assert other.sent(Ready)[0].next_sample == 0
        other.give(audio(SENTENCE[:7_000]), Marker(id="m"), Marker(id="n"))
        assert [echo.id for echo in other.sent(MarkerEcho)] == ["n"]
        assert core.outbox.last_seq == 2


class TestAudioThatIsGone:
    def test_a_gap_stands_for_it_and_other_speech_is_another_utterance(self) -> None:
        driver = Driver(make_core(START), answer=True)
        samples = speech((1.0, 2.0), (4.0, 5.0), (9.0, 10.0), total_s=12.0)
        driver.give(audio(samples[:48_000]))
        block = newest(driver)
        driver.give(audio(samples[48_000:], 48_000))
        assert [final.utterance for final in finals(driver)] == [1, 2, 3]
        said = said_since(driver, block)
        cut = next(index for index, message in enumerate(said) if getattr(message, "utterance", 0) == 3)
        other = restored(driver, said[:cut], block=block, answer=True)
        other.give(audio(samples[96_000:], 96_000), Stop())
        assert [(gap.from_sample, gap.to_sample) for gap in other.sent(Gap)] == [(48_000, 96_000)]
        assert [final.utterance for final in finals(other)] == [3]
        known = {
            word.id for message in driver.messages[:-1] if isinstance(message, Transcript) for word in message.words
        }
        first_two = {word.id for final in finals(driver)[:2] for word in final.words}
        assert first_two < known
        assert not first_two & {word.id for final in finals(other) for word in final.words}

    def test_after_long_what_was_said_and_never_came_again_is_forgotten(self) -> None:
        driver = Driver(make_core(START), answer=True)
        driver.give(audio(SENTENCE[:8_000]))
        block = newest(driver)
        word = Word(id=70, text="so", start_ms=900, end_ms=1_000, confidence=1.0, state="stable")
        said: list[ServerMessage] = [
            Speech(channel=0, state="started", utterance=9, at_ms=700),
            Transcript(utterance=9, channel=0, revision=1, from_word=0, words=[word], decoded_until_ms=1_000),
        ]
        other = restored(driver, said, block=block, answer=True)
        other.give(audio(SENTENCE[:8_000], 8_000))
        assert len(decode(newest(other).state).said) == 2
        other.give(*(audio(speech(total_s=30), at) for at in range(16_000, 1_600_000, 480_000)))
        assert decode(newest(other).state).said == []
        other.give(audio(SENTENCE, 16_000 + 4 * 480_000), Stop())
        assert [(final.utterance, final.words[0].id) for final in finals(other)] == [(10, 71)]


class TestBlocks:
    def unread(self) -> tuple[SessionCore, Callable[[np.ndarray[Any, Any], int], list[StoreAudio]]]:
        """A core whose client reads nothing, and how to give it audio."""
        core = make_core(START)
        core.begin(MODEL, 1 << 20)

        def give(samples: np.ndarray[Any, Any], at: int) -> list[StoreAudio]:
            effects = core.receive(audio(samples, at), 0.0)
            while core.busy:
                effects += core.work(0.0)
            return [effect for effect in effects if isinstance(effect, StoreAudio)]

        return core, give

    def test_while_much_waits_for_the_client_there_is_none_and_the_next_one_has_all_of_it(self) -> None:
        core, give = self.unread()
        assert len(give(SENTENCE[:8_000], 0)) == 1
        for number in range(17):
            core.receive(Marker(id=str(number)), 0.0)
        assert give(speech(total_s=1.0), 8_000) == []
        while core.outbox.pop() is not None:
            pass
        (block,) = give(speech(total_s=0.5), 24_000)
        assert (block.first_sample, len(block.pcm[0]), block.commands) == (8_000, 2 * 24_000, 17)
        assert block.last_seq == 17

    def test_a_client_that_does_not_read_is_not_heard_for_long(self) -> None:
        core, give = self.unread()
        for number in range(17):
            core.receive(Marker(id=str(number)), 0.0)
        at = 0
        while core.can_accept:
            assert give(speech(total_s=0.5), at) == []
            at += 8_000
        assert at == 160_000
        for _ in range(10):  # `ready`, and then more than half of them
            core.outbox.pop()
        assert core.can_accept
        (block,) = give(speech(total_s=0.5), at)
        assert len(block.pcm[0]) == 2 * 168_000

    def test_the_whole_tail_can_be_had_again(self) -> None:
        driver = Driver(make_core(START))
        assert driver.core.whole_block() is None
        driver.give(audio(SENTENCE[:7_000]))
        assert driver.core.whole_block() is None
        driver.give(audio(SENTENCE[7_000:50_000], 7_000))
        whole, last = driver.core.whole_block(), newest(driver)
        assert whole is not None
        assert whole.first_sample == whole.needed_from == last.needed_from < 16_000
        assert whole.pcm == (SENTENCE[whole.first_sample : 48_000].tobytes(),)
        assert msgspec.structs.replace(whole, first_sample=40_000, pcm=last.pcm) == last
        core = restore_core("s", START, whole.state, whole.first_sample, whole.pcm, [], lambda _: LoudnessDetector())
        assert core.whole_block() == whole

    def test_acks_name_the_commands_that_are_stored(self) -> None:
        driver = Driver(make_core(START))
        driver.give(audio(SENTENCE[:8_000]), Finalize(), Marker(id="m"), audio(SENTENCE[8_000:16_000], 8_000), Stop())
        blocks = [effect for effect in driver.effects if isinstance(effect, StoreAudio)]
        assert [(block.ack_sample, block.commands) for block in blocks] == [(8_000, 0), (16_000, 2), (16_000, 3)]
        assert blocks[-1].pcm == (b"",)


def snapshot() -> tuple[bytes, list[bytes]]:
    driver = Driver(make_core(START))
    driver.give(audio(SENTENCE[:32_000]), Marker(id="m"))
    driver.reply(driver.jobs[0], "so", "we")
    driver.give(audio(SENTENCE[32_000:40_000], 32_000))
    return newest(driver).state, tails(driver, 40_000)


STATE, TAILS = snapshot()


def restore(state: bytes, tails: list[bytes] | None = None, first: int = 0, start: Start = START) -> SessionCore:
    return restore_core("s", start, state, first, TAILS if tails is None else tails, [], lambda _: LoudnessDetector())


class TestDamage:
    @given(data=st.binary(max_size=200))
    def test_garbage_is_refused(self, data: bytes) -> None:
        for state in (data or b"\0", bytes([VERSION]) + data):
            with pytest.raises(BadSnapshotError):
                restore(state)

    @given(at=st.integers(0, len(STATE) - 1), bit=st.integers(0, 7))
    def test_a_flipped_bit_is_found(self, at: int, bit: int) -> None:
        damaged = bytearray(STATE)
        damaged[at] ^= 1 << bit
        with pytest.raises(BadSnapshotError):
            restore(bytes(damaged))

    @given(data=st.data())
    @settings(max_examples=300, deadline=None)
    def test_a_state_that_makes_no_sense_is_refused_or_restored(self, data: st.DataObject) -> None:
        """One value of it is another one, with the right checksum."""
        state = msgspec.msgpack.decode(STATE[5:])
        place = state
        while isinstance(place, list | dict) and place:
            key = data.draw(st.sampled_from(range(len(place)) if isinstance(place, list) else sorted(place)))
            if isinstance(place[key], list | dict) and place[key] and data.draw(st.booleans()):
                place = place[key]
                continue
            wrong = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.binary(max_size=9) | st.just([])
            place[key] = data.draw(wrong)
            break
        body = msgspec.msgpack.encode(state)
        try:
            core = restore(bytes([VERSION]) + zlib.crc32(body).to_bytes(4, "little") + body)
        except BadSnapshotError:
            return
        core.resume(MODEL, 1 << 20, 0.0)

    @pytest.mark.parametrize("targets", [[], [1, 1]])
    def test_a_marker_of_other_channels_is_refused(self, targets: list[int]) -> None:
        state = decode(STATE)
        marker = PendingMarker(id="m", sample=1, targets=tuple(targets))
        with pytest.raises(BadSnapshotError, match="marker"):
            restore(encode(msgspec.structs.replace(state, markers=[marker])))

    def test_another_version_is_told(self) -> None:
        with pytest.raises(BadSnapshotError, match="version 99"):
            restore(bytes([99]) + STATE[1:])

    @pytest.mark.parametrize("tails", [[], [b""], [b"abc"], [TAILS[0][2:-2]], [TAILS[0][60_000:]], TAILS * 2])
    def test_audio_that_is_not_all_there_is_told(self, tails: list[bytes]) -> None:
        with pytest.raises(BadSnapshotError):
            restore(STATE, tails)

    def test_a_longer_tail_does_no_harm(self) -> None:
        """The core takes what it needs of it."""
        short = restore(STATE, [TAILS[0][20_000:]], 10_000)
        assert restore(STATE).whole_block() == short.whole_block()

    def test_a_session_of_other_audio_is_told(self) -> None:
        with pytest.raises(BadSnapshotError):
            restore(STATE, TAILS * 2, start=Start(audio=AudioFormat(channels=2), endpointing=ENDPOINTING))
