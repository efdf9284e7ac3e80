"""What a question becomes: which audio, which text, in which order, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.pool.interface import ChatLimits
from streaming.protocol.messages import Ask, ChatMessage, Transcript, Word
from streaming.session.questions import MAX_TRANSCRIPT_CHARS, Clip, QuestionError, Recent, make_question

RATE = 16_000
CHAT = ChatLimits(audio_s=120.0, clip_s=30.0, clips=4, turns=True, context_tokens=200)
ONE = ChatLimits(audio_s=30.0, clip_s=30.0, clips=1)


def block(second: float, seconds: float, channels: int = 1) -> tuple[int, tuple[bytes, ...]]:
    """Samples that say where they are: the second, and on channel 1 a thousand more."""
    at = (np.arange(round(seconds * RATE)) // RATE + int(second)).astype("<i2")
    return round(second * RATE), tuple((at + 1000 * channel).astype("<i2").tobytes() for channel in range(channels))


def heard(seconds: int, channels: int = 1, keep_s: float = 120.0, labels: tuple[str, ...] = ()) -> Recent:
    recent = Recent(keep_s, labels, channels)
    for second in range(seconds):
        recent.hear(*block(second, 1.0, channels))
    return recent


def ask(*texts: str, **fields: object) -> Ask:
    """Turns of user and assistant."""
    roles = ["user", "assistant"] * len(texts)
    messages = [ChatMessage(role=role, content=text) for role, text in zip(roles, texts, strict=False)]  # type: ignore[arg-type]
    return Ask(id="q", messages=messages, **fields)  # type: ignore[arg-type]


def final(text: str, end_ms: int, channel: int = 0) -> Transcript:
    words = [Word(id=1, text=text, start_ms=end_ms - 100, end_ms=end_ms, confidence=1.0, state="final")]
    return Transcript(utterance=1, channel=channel, revision=1, from_word=0, words=words, final=True, text=text)


def seconds(clip: Clip) -> tuple[int, int]:
    """First and last second that a clip's samples name."""
    samples = np.frombuffer(clip.pcm, "<i2")
    return int(samples[0]), int(samples[-1])


def test_the_last_seconds_are_one_clip() -> None:
    question = make_question(ask("Who?", last_s=5.0), heard(20), CHAT)
    (clip,) = heard(20).clips(5.0, CHAT)
    assert (clip.first_sample, clip.samples, seconds(clip)) == (15 * RATE, 5 * RATE, (15, 19))
    assert question.pcm == clip.pcm
    assert (question.from_ms, question.to_ms, question.words_from_ms) == (15_000, 20_000, 15_000)
    (turn,) = question.chat.turns
    assert (turn.text, turn.clips, question.chat.clip_samples) == ("Who?", 1, (5 * RATE,))


def test_longer_audio_is_several_clips_of_like_length_that_are_named() -> None:
    question = make_question(ask("Who?"), heard(75), CHAT)
    assert question.chat.clip_samples == (25 * RATE,) * 3
    assert question.words_from_ms is None
    lines = question.chat.turns[0].text.splitlines()
    assert lines[:3] == ["Audio 1: 0.0 to 25.0 s.", "Audio 2: 25.0 to 50.0 s.", "Audio 3: 50.0 to 75.0 s."]
    assert lines[-1] == "Who?"


def test_each_channel_has_its_clips() -> None:
    recent = heard(40, channels=2, labels=("agent", "customer"))
    clips = recent.clips(None, CHAT)
    assert [(clip.label, seconds(clip)) for clip in clips] == [
        ("agent", (0, 19)),
        ("customer", (1000, 1019)),
        ("agent", (20, 39)),
        ("customer", (1020, 1039)),
    ]
    assert "Audio 2: customer, 0.0 to 20.0 s." in make_question(ask("Who?"), recent, CHAT).chat.turns[0].text
    assert [clip.label for clip in heard(4, channels=2).clips(None, CHAT)] == ["channel 1", "channel 2"]


def test_a_model_that_hears_one_clip_hears_the_channels_mixed() -> None:
    (clip,) = heard(40, channels=2).clips(None, ONE)
    assert clip.samples == 30 * RATE
    assert seconds(clip) == (510, 539), "half of each"


def test_older_audio_is_forgotten_and_a_hole_begins_anew() -> None:
    recent = heard(20, keep_s=4.0)
    assert recent.first == 16 * RATE
    recent.hear(*block(30, 1.0))
    assert (recent.first, recent.until) == (30 * RATE, 31 * RATE)


def test_what_was_heard_already_counts_once() -> None:
    """A resumed session goes on from a snapshot that lies behind."""
    recent = heard(6)
    recent.hear(*block(4, 1.0))
    recent.hear(*block(5, 1.5))
    assert (recent.first, recent.until) == (0, round(6.5 * RATE))
    (clip,) = recent.clips(None, CHAT)
    assert (clip.samples, seconds(clip)) == (recent.until, (0, 6))


def test_of_the_whole_session_what_is_older_is_told_by_its_transcript() -> None:
    recent = heard(40, keep_s=10.0, channels=2, labels=("agent", "customer"))
    recent.read(final("Hello.", 3_000))
    recent.read(final("Hi there.", 5_000, channel=1))
    recent.read(final("How are you?", 38_000))
    text = make_question(ask("Who?"), recent, CHAT).chat.turns[0].text
    assert text.startswith("What was said before the audio:\nagent: Hello.\ncustomer: Hi there.\n\nAudio 1:")
    assert "How are you" not in text
    assert "Hello" not in make_question(ask("Who?", last_s=4.0), recent, CHAT).chat.turns[0].text


def test_the_transcript_is_bounded_by_what_the_model_reads_and_by_what_is_kept() -> None:
    recent = heard(40, keep_s=10.0)
    for place in range(2_000):
        recent.read(final(f"{place:04} " + "word " * 10, 1_000))
    text = make_question(ask("Who?"), recent, CHAT).chat.turns[0].text
    assert len(text) < 3 * CHAT.context_tokens + 100
    assert "1999" in text
    assert len(recent.said_before(40 * RATE, 10**9)) <= MAX_TRANSCRIPT_CHARS + 2_000


@given(
    question=st.text(max_size=700),
    line=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    finals=st.integers(0, 200),
    context_tokens=st.integers(0, 400),
)
def test_the_transcript_takes_what_the_question_leaves_of_the_context(
    question: str, line: str, finals: int, context_tokens: int
) -> None:
    limits = ChatLimits(audio_s=30.0, clips=1, turns=True, context_tokens=context_tokens)
    recent = heard(8, keep_s=4.0)
    for _ in range(finals):
        recent.read(final(line, 1_000))
    asked = Ask(id="q", messages=[ChatMessage(role="user", content=question)])
    (turn,) = make_question(asked, recent, limits).chat.turns
    assert turn.text.endswith(question)
    assert len(turn.text.encode()) <= max(len(question.encode()), 3 * context_tokens)


def test_a_transcript_of_any_script_is_cut_between_characters() -> None:
    recent = heard(8, keep_s=4.0)
    recent.read(final("天气很好", 1_000))
    assert recent.said_before(8 * RATE, 7) == "很好"
    assert recent.said_before(8 * RATE, 0) == ""


def test_the_clips_come_with_the_users_first_turn_and_the_system_apart() -> None:
    messages = [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="Who?"),
        ChatMessage(role="assistant", content="A man."),
        ChatMessage(role="user", content="How old?"),
    ]
    chat = make_question(Ask(id="q", messages=messages, max_tokens=9, seed=3), heard(5), CHAT).chat
    assert [(turn.role, turn.text, turn.clips) for turn in chat.turns] == [
        ("user", "Who?", 1),
        ("assistant", "A man.", 0),
        ("user", "How old?", 0),
    ]
    assert (chat.system, chat.max_tokens, chat.seed) == ("Be brief.", 9, 3)


def test_the_askers_clips_come_first() -> None:
    own = Clip(b"\1\0" * RATE, own=True)
    question = make_question(ask("Same voice?", last_s=3.0), heard(5), CHAT, [own])
    assert question.chat.clip_samples == (RATE, 3 * RATE)
    assert "Audio 1: given with the question.\nAudio 2: 2.0 to 5.0 s." in question.chat.turns[0].text
    assert make_question(ask("Who?"), Recent(9.0, (), 1), CHAT, [own]).chat.clip_samples == (RATE,)


@pytest.mark.parametrize(
    ("asked", "recent", "limits", "own", "code", "said"),
    [
        (ask("Who?"), Recent(9.0, (), 1), CHAT, [], "no_audio", "nothing was heard yet"),
        (ask("x" * 32_769), heard(5), CHAT, [], "unsupported", "at most 32768 characters"),
        (ask("Who?", "A man."), heard(5), CHAT, [], "unsupported", "the last message must be the user's"),
        (ask("Who?", "A man.", "Old?"), heard(5), ONE, [], "unsupported", "send a single message"),
        (ask("Who?"), heard(5), ONE, [Clip(b"\0\0")], "unsupported", "one clip"),
        (ask("Who?"), heard(5), CHAT, [Clip(b"\0\0" * 31 * RATE)], "unsupported", "at most 4 clips of 30 s"),
        (ask("Who?"), heard(5), CHAT, [Clip(b"\0\0")] * 5, "unsupported", "at most 4 clips"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_would_be_right(
    asked: Ask, recent: Recent, limits: ChatLimits, own: list[Clip], code: str, said: str
) -> None:
    with pytest.raises(QuestionError, match=said) as error:
        make_question(asked, recent, limits, own)
    assert error.value.code == code


@given(
    length=st.integers(1, 200),
    channels=st.integers(1, 2),
    last_s=st.none() | st.floats(0.05, 300),
    clips=st.integers(1, 7),
    keep_s=st.floats(0.5, 150),
)
def test_clips_keep_within_the_limits_and_follow_one_another(
    length: int, channels: int, last_s: float | None, clips: int, keep_s: float
) -> None:
    limits = ChatLimits(audio_s=30.0 * clips, clip_s=30.0, clips=clips, turns=True)
    recent = Recent(keep_s, (), channels)
    for half in range(length):
        recent.hear(half * 8_000, (b"\0\0" * 8_000,) * channels)
    found = recent.clips(last_s, limits)
    assert len(found) <= clips
    assert all(0 < clip.samples <= 30 * RATE for clip in found)
    assert sum(clip.samples for clip in found) <= 30 * clips * RATE
    for label in {clip.label for clip in found}:
        own = [clip for clip in found if clip.label == label]
        ends = [clip.first_sample + clip.samples for clip in own]
        assert [clip.first_sample for clip in own[1:]] == ends[:-1]
        assert ends[-1] == recent.until
