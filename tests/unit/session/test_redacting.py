"""A session that hides numbers: who decides which, what it refuses, and that all that leaves is masked."""

from __future__ import annotations

import pytest

from inference.pool.interface import EngineInfo
from inference.pool.tasks import TASK_NAMES
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import (
    Call,
    CallOptions,
    CallSummary,
    Configure,
    InterimPolicy,
    Ready,
    Start,
    Stop,
    Summary,
    Task,
    Transcript,
)
from streaming.session.core import SessionCore
from streaming.session.redacting import check_redaction, redacted_kinds
from streaming.session.settings import SessionSettings
from streaming.transcript.text import plain_text
from tests.support.sessions import ENDPOINTING, Driver, LoudnessDetector, audio, speech

WHISPER = EngineInfo("tiny.en", "cpu", "int8")
QWEN = EngineInfo("qwen", "cpu", "float32", languages=("en", "de"), tasks=TASK_NAMES, answers=True)
NUMBER = "my card is four one one one one one one one".split()  # noqa: SIM905
CALL = CallOptions(keywords=["four one one one", "my card is"])


def driver(policy: InterimPolicy = "stable", *, model: EngineInfo | None = None, redact: bool = True) -> Driver:
    start = Start(endpointing=ENDPOINTING, interim=policy, redact=["card"] if redact else [], call=CALL)
    return Driver(SessionCore("s", start, lambda name: LoudnessDetector(), None, None, model))


def say(one: Driver, *texts: str) -> None:
    """Every job hears the beginning of this that its audio holds."""
    one.give(audio(speech((0.5, 0.5 + len(texts) / 2), total_s=len(texts) / 2 + 3)))
    for job in one.jobs:
        count = len(texts) if job.kind == "final" else (job.until_sample - job.start_sample) // 8_000
        one.reply(job, *texts[:count])


@pytest.mark.parametrize("policy", ["stable", "append_only", "off"])
def test_no_message_has_the_digits(policy: InterimPolicy) -> None:
    one = driver(policy)
    say(one, *NUMBER)
    one.give(Stop())
    said = one.sent(Transcript)
    assert said[-1].text == "my card is # # # # # # # #"
    for message in said:
        assert not {"four", "one"} & {word.text for word in message.words}
    assert all(call.keyword == "my card is" for call in one.sent(Call) if call.kind == "keyword")
    (account,) = one.sent(CallSummary)
    assert [keyword.count for keyword in account.call.keywords] == [0, 1]
    (summary,) = one.sent(Summary)
    assert summary.redacted == {"phone": 1}


def test_the_same_session_without_redaction_says_them() -> None:
    one = driver(redact=False)
    say(one, *NUMBER)
    one.give(Stop())
    assert one.sent(Transcript)[-1].text == " ".join(NUMBER)
    (summary,) = one.sent(Summary)
    assert summary.redacted == {}


def test_short_numbers_come_back_with_the_final() -> None:
    one = driver()
    say(one, "two", "tickets", "please", "thank", "you")
    interims = [plain_text(message.words) for message in one.sent(Transcript) if not message.final]
    assert "two" not in " ".join(interims)
    assert one.sent(Transcript)[-1].text == "two tickets please thank you"


def test_ready_says_what_is_hidden() -> None:
    (ready,) = [message for message in driver().messages if isinstance(message, Ready)]
    assert ready.redact == ["card"]


@pytest.mark.parametrize(
    ("server", "client", "hidden"),
    [
        ((), [], []),
        ((), ["dob", "card"], ["card", "dob"]),
        (("card",), [], ["card"]),
        (("card", "phone"), ["dob", "card"], ["card", "dob", "phone"]),
        (("all",), ["card"], ["card", "dob", "phone", "digits"]),
    ],
)
def test_server_and_client_each_add_kinds(server: tuple[str, ...], client: list[str], hidden: list[str]) -> None:
    assert redacted_kinds(server, client) == hidden


def test_a_kind_that_is_none_is_no_setting() -> None:
    with pytest.raises(ValueError, match="redact knows card, dob, phone, digits, all, not iban"):
        SessionSettings(redact=("card", "iban"))


@pytest.mark.parametrize(
    ("task", "model"),
    [
        (Task(), WHISPER),
        (Task(language="en"), QWEN),
        (Task(name="translate", language="de"), QWEN),
        ([Task(language="en"), Task(name="emotion"), Task(name="sound_events")], QWEN),
    ],
)
def test_what_may_be_asked_while_numbers_are_hidden(task: Task | list[Task], model: EngineInfo) -> None:
    check_redaction(["card"], task, model)


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (Task(), "English only"),
        (Task(language="de"), "English only"),
        (Task(name="translate", language="en", target="de"), "English only"),
        ([Task(language="en"), Task(name="question", question="The card?")], "question could tell them"),
        ([Task(language="en"), Task(name="emotion"), Task(name="entities")], "entities could tell them"),
        ([Task(language="en"), Task(language="en")], "transcribe could tell them"),
    ],
)
def test_what_could_tell_them_is_refused(task: Task | list[Task], why: str) -> None:
    with pytest.raises(ProtocolError, match=why) as refused:
        check_redaction(["card"], task, QWEN)
    assert refused.value.code == "unsupported"
    check_redaction([], task, QWEN)


def test_nor_can_it_be_asked_for_later() -> None:
    one = driver(model=QWEN)
    with pytest.raises(ProtocolError, match="entities could tell them"):
        one.give(Configure(task=[Task(language="en"), Task(name="entities")]))
