"""Tasks on a command line, and their answers in what the commands write."""

import json

import pytest
from tympan_client import Analysis, Task, TranscriptUpdate, Word

from streaming.cli.errors import UserError
from streaming.cli.live import LiveCaptions, PlainCaptions
from streaming.cli.results import Transcription
from streaming.cli.tasks import answer_line, parse_tasks


def analysis(utterance: int = 1, index: int = 0, **fields: object) -> Analysis:
    about = {"task": "emotion", "text": "happy"} | fields
    return Analysis(utterance=utterance, channel=0, index=index, start_ms=700, end_ms=1900, **about)  # type: ignore[arg-type]


def words(utterance: int, text: str, *, final: bool = True, start_ms: int = 1000) -> TranscriptUpdate:
    word = Word(id=1, text=text, start_ms=start_ms, end_ms=1200, confidence=1.0, state="final" if final else "stable")
    return TranscriptUpdate(
        utterance=utterance, channel=0, revision=1, from_word=0, words=(word,), final=final, decoded_until_ms=1500
    )


def test_a_task_is_a_name_and_what_belongs_to_it() -> None:
    assert parse_tasks(None) is None
    asked = ["transcribe", "translate:de", "caption:plain", "caption:zh", "question:Who is it: a man?"]
    assert parse_tasks(asked) == (
        Task(),
        Task(name="translate", target="de"),
        Task(name="caption", style="plain"),
        Task(name="caption", target="zh"),
        Task(name="question", question="Who is it: a man?"),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("emotions", "there is no task 'emotions'"),
        ("question: ", "needs"),
        ("caption:klotho", "language of the answer, such as de, or a style: audiocaps, clotho, plain"),
        ("emotion:German", "language of the answer, such as de$"),
    ],
)
def test_another_task_is_refused(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_tasks([text])


def test_an_answer_is_a_line() -> None:
    assert answer_line(analysis()) == "emotion: happy"
    assert answer_line(analysis(text="")) == "emotion: nothing"
    assert (
        answer_line(analysis(fields={"pitch": "60", "instrument": "guitar"})) == "emotion: pitch 60, instrument guitar"
    )
    assert answer_line(analysis(error="the model failed")) == "emotion: no answer (the model failed)"


def test_a_transcription_has_answers_below_their_utterance() -> None:
    result = Transcription("call.wav")
    events = [
        words(1, "Hello."),
        analysis(2, task="scene", text="street"),
        analysis(1),
        analysis(1, 1, task="scene", text="office"),
        words(3, "Bye.", start_ms=4000),
    ]
    for event in events:
        result.receive(event)
    assert result.render("txt") == "  scene: street\nHello.\n  emotion: happy\n  scene: office\nBye.\n"
    first = json.loads(result.render("json"))["analyses"][1]
    assert (first["utterance"], first["task"], first["text"], first["complete"]) == (1, "emotion", "happy", True)


def test_on_a_terminal_an_answer_scrolls_away_with_the_finals() -> None:
    assert [line.plain for line in LiveCaptions("microphone").receive(analysis())] == ["  emotion: happy"]


def test_in_a_pipe_an_answer_waits_for_the_line_that_is_being_written() -> None:
    captions = PlainCaptions()
    assert captions.receive(words(2, "Good", final=False)) == "Good"
    assert captions.receive(analysis()) == ""
    assert captions.receive(words(2, "Good")) == "\n  emotion: happy\n"
    assert captions.receive(analysis(2)) == "  emotion: happy\n"
