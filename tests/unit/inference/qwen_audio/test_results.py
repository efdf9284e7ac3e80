# ruff: noqa: RUF001  full-width punctuation is meant
"""Answers are read as the form of their task; what does not keep to it stays text, and no time is made up."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.pool.tasks import TASK_NAMES, Answer, Task, TaskName, TimedWord
from inference.qwen_audio.results import read_answer, read_reply
from tests.support.qwen_audio import spell, tokenizer

TOKENIZER = tokenizer()
SPECIALS = TOKENIZER.specials
END = "<|endoftext|>"
MARKS = [SPECIALS.id(name) for name in ("sil", "delim", "pitch", "sonic", "scenario", "action", "entities")]
MARKS += [SPECIALS.id(name) for name in ("instrument", "velocity", "midi_pitch_3", "midi_velocity_9", "im_end")]
MARKS += [SPECIALS.id(f"{edge}ofentity{part}") for edge in ("start", "end") for part in ("value", "type")]
STAMPS = st.integers(min_value=0, max_value=3000).map(lambda hundredths: SPECIALS.stamp(hundredths / 100))
TOKENS = st.lists(
    st.one_of(
        st.sampled_from(MARKS),
        STAMPS,
        st.sampled_from(TOKENIZER.encode_text('hello the, "x" 你. from to and')),
        st.integers(min_value=-3, max_value=SPECIALS.vocabulary + 900),
    ),
    max_size=40,
)


def read(name: TaskName, shown: str, duration_s: float | None = None) -> Answer:
    return read_answer(Task(name=name), spell(shown, TOKENIZER), TOKENIZER, duration_s=duration_s)


def reply(shown: str, duration_s: float | None = None) -> Answer:
    return read_reply(spell(shown, TOKENIZER), TOKENIZER, duration_s=duration_s)


@pytest.mark.parametrize("name", ["transcribe", "translate"])
def test_words_are_the_text(name: TaskName) -> None:
    assert read(name, " hello the end" + END) == Answer("hello the end")


def test_speech_may_have_no_words() -> None:
    assert read("transcribe", END) == Answer("")


@pytest.mark.parametrize("end", ["<|endoftext|>", "<|im_end|>", "<|im_start|>"])
def test_nothing_after_the_end_belongs_to_the_answer(end: str) -> None:
    assert read("transcribe", f"hello{end}<|scene|>user{END}") == Answer("hello")


def test_an_answer_without_its_end_was_cut_off() -> None:
    assert read("transcribe", "hello the e") == Answer("hello the e", complete=False)


def test_the_end_may_be_told_instead() -> None:
    assert read_answer(Task(), TOKENIZER.encode_text("hello"), TOKENIZER, ended=True) == Answer("hello")


@pytest.mark.parametrize("name", [name for name in TASK_NAMES if name not in ("transcribe", "translate")])
def test_an_answer_that_says_nothing_is_not_complete(name: TaskName) -> None:
    """But for what may not be there: words in sound, entities in words."""
    expected = Answer("", complete=name in ("entities", "word_timestamps"))
    assert read(name, END) == expected


def test_tags_among_the_words_of_speech_are_not_of_the_form() -> None:
    assert read("transcribe", "hello<|scene|>the end" + END) == Answer("hello the end", complete=False)


def test_a_word_has_a_stamp_before_and_after_it() -> None:
    answer = read("word_timestamps", "<|0.00|><|sil|><|0.54|>hello<|0.86|>the<|1.17|>" + END)
    assert answer == Answer("hello the", words=(TimedWord("hello", 0.54, 0.86), TimedWord("the", 0.86, 1.17)))


def test_the_stamp_that_was_forced_may_be_left_out() -> None:
    assert read("word_timestamps", "hello<|0.86|>" + END) == Answer("hello", words=(TimedWord("hello", 0.0, 0.86),))


def test_words_may_be_apart_without_silence_between_them() -> None:
    answer = read("word_timestamps", "<|0.10|>one<|0.30|><|0.50|>two<|0.70|>" + END)
    assert answer.words == (TimedWord("one", 0.1, 0.3), TimedWord("two", 0.5, 0.7))
    assert answer.complete


def test_space_between_stamps_is_no_word() -> None:
    answer = read("word_timestamps", "<|0.00|> <|0.54|> hello<|0.86|>" + END)
    assert answer == Answer("hello", words=(TimedWord("hello", 0.54, 0.86),))


def test_chinese_words_are_joined_without_spaces() -> None:
    answer = read("word_timestamps", "<|0.00|>你<|0.20|>好<|0.40|>" + END)
    assert answer.text == "你好"
    assert [word.text for word in answer.words] == ["你", "好"]


def test_a_word_whose_end_was_cut_off_has_no_times() -> None:
    expected = Answer("one two", words=(TimedWord("one", 0.0, 0.3),), complete=False)
    assert read("word_timestamps", "<|0.00|>one<|0.30|>two") == expected
    assert read("word_timestamps", "<|0.00|>one<|0.30|>two" + END) == expected


def test_a_stamp_that_goes_back_times_neither_the_word_before_nor_after_it() -> None:
    """Times are believed again from the next stamp that is not before the furthest."""
    answer = read("word_timestamps", "<|0.50|>a<|0.30|>b<|0.40|>c<|0.90|>d<|1.00|>" + END)
    assert answer == Answer("a b c d", words=(TimedWord("d", 0.9, 1.0),), complete=False)


def test_a_word_that_takes_no_time_has_no_times() -> None:
    answer = read("word_timestamps", "<|0.50|>a<|0.50|>b<|0.60|>" + END)
    assert answer == Answer("a b", words=(TimedWord("b", 0.5, 0.6),), complete=False)


def test_a_time_after_the_end_of_the_audio_is_not_believed() -> None:
    shown = "<|0.00|>a<|1.00|>b<|2.03|>c<|9.00|>" + END
    assert read("word_timestamps", shown).complete
    answer = read("word_timestamps", shown, duration_s=2.0)
    assert answer.words == (TimedWord("a", 0.0, 1.0), TimedWord("b", 1.0, 2.03))
    assert not answer.complete


@pytest.mark.parametrize("between", ["a<|sil|>", "<|sil|>a", "a<|scene|>b", "<|sil|><|sil|>"])
def test_what_is_neither_word_nor_silence_has_no_times(between: str) -> None:
    answer = read("word_timestamps", f"<|0.00|>{between}<|0.50|>c<|0.60|>" + END)
    assert (answer.words, answer.complete) == ((TimedWord("c", 0.5, 0.6),), False)


@given(TOKENS, st.floats(min_value=0, max_value=30) | st.none())
def test_no_time_is_made_up(tokens: list[int], duration_s: float | None) -> None:
    """Every time is a stamp that was written, words are in order, and do not overlap."""
    answer = read_answer(Task(name="word_timestamps"), tokens, TOKENIZER, duration_s=duration_s)
    stamps = {SPECIALS.seconds(token) for token in tokens} | {0.0}
    assert all({word.start_s, word.end_s} <= stamps and word.start_s < word.end_s for word in answer.words)
    assert all(first.end_s <= second.start_s for first, second in pairwise(answer.words))


@given(st.sampled_from(TASK_NAMES), TOKENS, st.floats(min_value=0, max_value=30) | st.none())
def test_anything_can_be_read(name: TaskName, tokens: list[int], duration_s: float | None) -> None:
    """And sent: the answer is data of its type."""
    task = Task(name=name)
    answers = [read_answer(task, tokens, TOKENIZER, duration_s=duration_s), read_reply(tokens, TOKENIZER)]
    for answer in answers:
        assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer


@given(st.sampled_from(TASK_NAMES), TOKENS)
def test_an_answer_is_complete_only_with_its_end(name: TaskName, tokens: list[int]) -> None:
    open_ended = [token for token in tokens if token not in SPECIALS.ends]
    assert not read_answer(Task(name=name), open_ended, TOKENIZER).complete
    assert not read_reply(open_ended, TOKENIZER).complete


@pytest.mark.parametrize("name", ["scene", "vocal_sound", "emotion"])
def test_a_class_is_the_whole_of_the_text(name: TaskName) -> None:
    assert read(name, " cafe, restaurant" + END) == Answer("cafe, restaurant", labels=("cafe, restaurant",))


@pytest.mark.parametrize("name", ["sound_events", "speaker", "song"])
def test_several_labels_stand_between_commas(name: TaskName) -> None:
    assert read(name, "rock, male singer, rock" + END).labels == ("rock", "male singer")


def test_labels_that_have_commas_stand_between_tags() -> None:
    answer = read("sound_events", "Male speech, man speaking<|delim|>Dog" + END)
    assert answer == Answer("Male speech, man speaking Dog", labels=("Male speech, man speaking", "Dog"))


def test_a_label_with_a_tag_in_it_is_not_of_the_form() -> None:
    assert not read("emotion", "joy<|sonic|>" + END).complete
    assert not read("sound_events", "Dog<|sonic|>" + END).complete


def test_a_sentence_describes_sound_or_music() -> None:
    for name in ("caption", "music_description"):
        assert read(name, "a dog barks in the rain" + END) == Answer("a dog barks in the rain")  # type: ignore[arg-type]


NOTE = "<|pitch|><|midi_pitch_60|><|velocity|><|midi_velocity_100|><|instrument|>guitar<|sonic|>bright, reverb"


def test_a_note_has_pitch_velocity_instrument_and_qualities() -> None:
    assert read("music_notes", NOTE + END) == Answer(
        "guitar bright, reverb",
        labels=("bright", "reverb"),
        fields={"pitch": "60", "velocity": "100", "instrument": "guitar"},
    )


def test_space_between_tags_says_nothing() -> None:
    assert read("music_notes", NOTE.replace("<|", " <|") + END) == read("music_notes", NOTE + END)


def test_a_note_may_have_no_qualities() -> None:
    answer = read("music_notes", NOTE.removesuffix("bright, reverb") + END)
    assert (answer.labels, answer.complete) == ((), True)


@pytest.mark.parametrize(
    ("shown", "fields", "labels"),
    [
        (NOTE[:40], {"pitch": "60"}, ()),
        ("<|pitch|>60<|velocity|><|midi_velocity_100|>", {"velocity": "100"}, ()),
        ("<|pitch|><|midi_velocity_60|><|instrument|>organ", {"instrument": "organ"}, ()),
        ("<|pitch|><|midi_pitch_1|><|pitch|><|midi_pitch_2|>", {"pitch": "1"}, ()),
        ("a note: " + NOTE, {"pitch": "60", "velocity": "100", "instrument": "guitar"}, ("bright", "reverb")),
        (NOTE + ", loud", {"pitch": "60", "velocity": "100", "instrument": "guitar"}, ("bright", "reverb", "loud")),
        (NOTE.partition("<|sonic|>")[0], {"pitch": "60", "velocity": "100", "instrument": "guitar"}, ()),
        (NOTE + NOTE, {"pitch": "60", "velocity": "100", "instrument": "guitar"}, ("bright", "reverb")),
        ("it is a guitar", {}, ()),
    ],
)
def test_a_note_in_another_form_tells_what_can_be_read(
    shown: str, fields: dict[str, str], labels: tuple[str, ...]
) -> None:
    answer = read("music_notes", shown + END)
    assert (answer.fields, answer.labels, answer.complete) == (fields, labels, False)


def entity(kind: str, value: str) -> str:
    return f"<|startofentityvalue|>{value}<|endofentityvalue|><|startofentitytype|>{kind}<|endofentitytype|>"


def test_entities_are_named_by_their_type() -> None:
    answer = read("entities", entity("person", "Ann") + entity("place", "Oslo") + entity("person", "Bo") + END)
    assert answer == Answer("Ann person Oslo place Bo person", fields={"person": "Ann; Bo", "place": "Oslo"})


def test_entities_stand_in_what_was_said_and_a_type_may_be_first() -> None:
    shown = "in <|startofentitytype|>place<|endofentitytype|><|startofentityvalue|>Oslo<|endofentityvalue|> today"
    assert read("entities", shown + END) == Answer("in place Oslo today", fields={"place": "Oslo"})


def test_nothing_that_was_said_may_be_an_entity() -> None:
    assert read("entities", "hello" + END) == Answer("hello")


@pytest.mark.parametrize(
    "broken",
    [
        "<|startofentityvalue|>Bo<|endofentityvalue|>",
        "<|startofentityvalue|>Bo<|endofentitytype|>",
        "<|startofentityvalue|>Bo",
        "<|startofentityvalue|><|endofentityvalue|><|startofentitytype|>person<|endofentitytype|>",
        "<|startofentityvalue|>Bo<|endofentityvalue|><|startofentityvalue|>Cy<|endofentityvalue|>",
    ],
)
def test_half_an_entity_is_none(broken: str) -> None:
    answer = read("entities", entity("place", "Oslo") + broken + END)
    assert (answer.fields, answer.complete) == ({"place": "Oslo"}, False)


def test_a_value_that_another_one_follows_has_no_type() -> None:
    answer = read("entities", "<|startofentityvalue|>Bo<|endofentityvalue|>" + entity("person", "Cy") + END)
    assert (answer.fields, answer.complete) == ({"person": "Cy"}, False)


def test_an_utterance_has_a_scenario_an_action_and_entities() -> None:
    shown = "<|scenario|>alarm<|action|>set<|entities|>" + entity("time", "six") + entity("day", "monday") + END
    assert read("speech_understanding", shown) == Answer(
        "alarm set six time monday day",
        fields={"scenario": "alarm", "action": "set", "entities": "time: six; day: monday"},
    )


def test_entities_of_an_utterance_may_be_in_words_or_missing() -> None:
    said = read("speech_understanding", "<|scenario|>alarm<|action|>set<|entities|>six" + END)
    assert (said.fields["entities"], said.complete) == ("six", True)
    missing = read("speech_understanding", "<|scenario|>alarm<|action|>query" + END)
    assert missing == Answer("alarm query", fields={"scenario": "alarm", "action": "query"})


@pytest.mark.parametrize(
    "shown", ["<|scenario|>alarm", "<|action|>set", "alarm set", "<|scenario|>a<|sil|><|action|>b"]
)
def test_an_utterance_without_a_part_is_not_of_the_form(shown: str) -> None:
    assert not read("speech_understanding", shown + END).complete


@pytest.mark.parametrize(
    ("shown", "text", "word"),
    [
        (
            'The word "hello" starts at <|2.33|> seconds and ends at <|3.26|> seconds.',
            'The word "hello" starts at 2.33 seconds and ends at 3.26 seconds.',
            "hello",
        ),
        ("hello: <|2.33|> to <|3.26|>", "hello: 2.33 to 3.26", "hello"),
        ("Yes. The dog barking is heard from <|2.33|> s until <|3.26|> s", None, "dog barking"),
        ("A loud hat is between <|2.33|> and <|3.26|> seconds", None, "A loud hat"),
        ("It's 'that' (<|2.33|>-<|3.26|>)", None, "that"),
        ("“你好”从<|2.33|>秒开始，到<|3.26|>秒结束", "“你好”从2.33秒开始，到3.26秒结束", "你好"),
        ("狗叫从<|2.33|>秒到<|3.26|>秒", None, "狗叫"),
        ("hello<|2.33|><|3.26|>", "hello 2.33 3.26", "hello"),
    ],
)
def test_a_reply_times_what_it_says_to_begin_and_to_end(shown: str, text: str | None, word: str) -> None:
    answer = reply(shown + "<|im_end|>")
    assert answer.words == (TimedWord(word, 2.33, 3.26),)
    assert answer.complete
    assert text in (None, answer.text)


def test_a_reply_may_time_several_words() -> None:
    answer = reply('"a" is from <|0.10|> to <|0.20|>, and "b" from <|0.30|> to <|0.40|>.<|im_end|>')
    assert answer.words == (TimedWord("a", 0.1, 0.2), TimedWord("b", 0.3, 0.4))


@pytest.mark.parametrize(
    "shown",
    [
        "It starts at <|2.33|> seconds.",
        "Dogs bark at <|0.50|>, <|1.50|> and <|2.50|>.",
        "One at <|0.50|>. Another to be heard at <|1.50|>.",
        "at <|1.00|> and <|2.00|>",
    ],
)
def test_times_that_are_not_said_to_be_begin_and_end_are_no_span(shown: str) -> None:
    answer = reply(shown + "<|im_end|>")
    assert (answer.words, answer.complete) == ((), True)


def test_a_span_that_ends_before_it_begins_or_after_the_audio_is_none() -> None:
    assert reply("a from <|2.00|> to <|1.00|><|im_end|>") == Answer("a from 2.00 to 1.00", complete=False)
    assert reply("a from <|2.00|> to <|3.00|><|im_end|>", duration_s=2.5).words == ()


def test_a_question_is_replied_to() -> None:
    shown = '"a" from <|0.10|> to <|0.20|>' + END
    assert read("question", shown) == reply(shown)


def test_a_reply_with_other_tags_is_not_of_the_form() -> None:
    assert reply("yes<|pitch|><|im_end|>") == Answer("yes", complete=False)


@pytest.mark.parametrize("name", ["grounding", "speech_edit"])
@pytest.mark.parametrize(
    "shown",
    ["<|0.50|>dog<|1.50|>", "dog<|0.50|><|1.50|>", "<|startofword|>dog<|endofword|><|0.50|><|1.50|>"],
)
def test_what_is_grounded_has_its_times(name: TaskName, shown: str) -> None:
    assert read(name, shown + END) == Answer("dog", words=(TimedWord("dog", 0.5, 1.5),))


def test_grounding_needs_times() -> None:
    assert read("grounding", "dog" + END) == Answer("dog", complete=False)
    assert read("grounding", "dog<|0.50|>" + END) == Answer("dog", complete=False)
