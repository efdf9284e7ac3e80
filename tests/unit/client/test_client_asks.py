"""Questions of the published client: where they are sent, and what becomes of them when the connection is lost."""

import pytest
from tympan_client import Answer, SessionOptions, TympanError
from tympan_client.asks import MAX_ASKS
from tympan_client.protocol import ClientProtocol

from streaming.protocol import messages
from tests.support.client_wire import READY, hear, resumed, said

USER = [{"role": "user", "content": "Who?"}]


def opened() -> ClientProtocol:
    protocol = ClientProtocol(SessionOptions())
    protocol.start()
    hear(protocol, READY)
    return protocol


def test_the_server_accepts_a_question_and_gets_it_behind_the_audio_before_it() -> None:
    protocol = opened()
    protocol.audio(bytes(200))
    protocol.ask("q", USER, last_s=5.0, max_tokens=9, temperature=0.5, top_p=0.9, seed=4)
    protocol.audio(bytes(200))
    first, asked, second = said(protocol)
    assert asked == messages.Ask(
        id="q",
        messages=[messages.ChatMessage(role="user", content="Who?")],
        last_s=5.0,
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        seed=4,
    )
    assert isinstance(first, messages.Audio)
    assert isinstance(second, messages.Audio)


def test_an_answer_that_has_not_begun_is_asked_for_again_on_the_next_connection() -> None:
    protocol = opened()
    protocol.ask("q", USER)
    assert len(said(protocol)) == 1
    assert said(protocol) == []
    protocol.lost()
    assert protocol.asks.take_broken() == []
    hear(protocol, resumed(0, 0))
    assert [message.id for message in said(protocol) if isinstance(message, messages.Ask)] == ["q"]


def test_one_that_had_begun_is_given_up() -> None:
    protocol = opened()
    protocol.ask("q", USER)
    said(protocol)
    hear(protocol, messages.Answer(id="q", delta="A"))
    protocol.lost()
    (broken,) = protocol.asks.take_broken()
    assert isinstance(broken, Answer)
    assert broken.error is not None
    assert (broken.id, broken.done, broken.finish, broken.error.code) == ("q", True, "error", "connection_lost")
    hear(protocol, resumed(0, 0))
    assert said(protocol) == []


def test_what_has_no_answer_at_the_sessions_end_is_answered_by_that() -> None:
    """Also a question that was not sent any more, since `stop` was."""
    protocol = opened()
    protocol.ask("sent", USER)
    assert len(said(protocol)) == 1
    protocol.ask("unsent", USER)
    protocol.stop()
    assert [type(message) for message in said(protocol)] == [messages.Stop]
    hear(protocol, messages.Answer(id="sent", done=True, text="A.", finish="stop"))
    hear(protocol, messages.Summary(seq=1, audio_ms=0, speech_ms=0, utterances=0, words=0))
    (broken,) = protocol.asks.take_broken()
    assert broken.error is not None
    assert (broken.id, broken.done, broken.error.code) == ("unsent", True, "session_over")
    assert protocol.asks.take_broken() == []


def test_an_answer_comes_typed_and_frees_its_id() -> None:
    protocol = opened()
    protocol.ask("q", USER)
    error = messages.AnswerError(code="too_many", message="wait")
    words = [messages.TimedWord(text="a", start_ms=1, end_ms=2)]
    event = hear(protocol, messages.Answer(id="q", done=True, words=words, finish="error", error=error))
    assert isinstance(event, Answer)
    assert event.error is not None
    assert (event.error.code, event.words[0].end_ms, event.seq) == ("too_many", 2, -1)
    protocol.ask("q", USER)


def test_questions_are_bounded_and_ids_are_used_once() -> None:
    protocol = opened()
    protocol.ask("0", USER)
    with pytest.raises(TympanError, match="open already"):
        protocol.ask("0", USER)
    for number in range(1, MAX_ASKS):
        protocol.ask(str(number), USER)
    with pytest.raises(TympanError, match="wait for their answers"):
        protocol.ask("more", USER)
    protocol.stop()
    with pytest.raises(TympanError, match="nothing can be sent"):
        protocol.ask("late", USER)
