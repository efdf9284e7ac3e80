"""docs/protocol.md says what the code does: messages, fields, values, ranges, errors, limits, examples."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from msgspec import inspect

from streaming.audio.timeline import MAX_GAP_S
from streaming.protocol.calls import CallAccount, CallHit, CallKeyword, CallRole, CallSound, CallSpan, CallSpans
from streaming.protocol.codec import decode_client
from streaming.protocol.errors import ERRORS
from streaming.protocol.messages import (
    PROTOCOL_VERSION,
    SUBPROTOCOLS,
    AnswerError,
    AudioFormat,
    CallOptions,
    ChatMessage,
    ClientMessage,
    Endpointing,
    ModelInfo,
    Resume,
    ServerMessage,
    SoundScore,
    Start,
    Task,
    TimedWord,
    Transcript,
    Word,
)
from streaming.protocol.native import IDLE_TIMEOUT_S, MAX_MESSAGE_BYTES, START_TIMEOUT_S
from streaming.session.asking import MAX_OPEN
from streaming.session.outbox import is_numbered
from streaming.session.questions import MAX_TEXT_CHARS
from streaming.session.settings import SessionSettings
from streaming.transcript.metrics import TranscriptReader
from streaming.transcript.text import plain_text

TEXT = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text(encoding="utf-8")

Row = list[str]


def rows(section: str) -> list[Row]:
    """The cells of the first table in a text, without its head."""
    lines: list[str] = []
    for line in section.split("\n"):
        if line.startswith("|"):
            lines.append(line)
        elif lines:
            break
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def sections(kind: str) -> dict[str, str]:
    """Name to text of the sections "### Kind: `name`"."""
    found = re.findall(rf"^### {kind}: `(\w+)`\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL)
    return dict(found)


def structs(union: Any) -> dict[str, type[msgspec.Struct]]:
    return {str(one.__struct_config__.tag): one for one in get_args(union)}


_OBJECTS = (
    AudioFormat,
    Resume,
    Task,
    Endpointing,
    CallOptions,
    ChatMessage,
    AnswerError,
    SoundScore,
    ModelInfo,
    Word,
    TimedWord,
    CallAccount,
    CallRole,
    CallSpans,
    CallSpan,
    CallSound,
    CallKeyword,
    CallHit,
)
OBJECTS = {one.__name__: one for one in _OBJECTS}
DOCUMENTED = [
    *(("Client", name, kind) for name, kind in structs(ClientMessage).items()),
    *(("Server", name, kind) for name, kind in structs(ServerMessage).items()),
    *(("Object", name, kind) for name, kind in OBJECTS.items()),
]


def default_text(field: inspect.Field) -> str:
    if field.required:
        return "required"
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{json.dumps(field.default_factory())}`"
    if isinstance(field.default, msgspec.Struct):
        assert field.default == type(field.default)()
        return "`{}`"
    return f"`{json.dumps(field.default)}`"


def promises(kind: inspect.Type) -> set[str]:
    """What the type's cell must name: the allowed values, the bounds."""
    match kind:
        case inspect.UnionType(types=types):
            return set().union(*map(promises, types))
        case inspect.LiteralType(values=values):
            return {json.dumps(value) for value in values}
        case inspect.NoneType():
            return {"null"}
        case inspect.BoolType():
            return {"boolean"}
        case inspect.IntType() | inspect.FloatType():
            return {str(bound) for bound in (kind.ge, kind.le) if bound is not None}
        case inspect.StrType():
            bounds = {str(bound) for bound in (kind.min_length, kind.max_length, kind.pattern) if bound is not None}
            return bounds | {"text"}
        case inspect.ListType():
            bounds = {str(bound) for bound in (kind.min_length, kind.max_length) if bound is not None}
            return bounds | promises(kind.item_type)
        case inspect.DictType():
            return {"object"} | promises(kind.value_type)
        case inspect.StructType():
            return {kind.cls.__name__}
        case inspect.BytesType():
            return {"bytes"}
    raise AssertionError(f"no rule for {kind}")


@pytest.mark.parametrize("kind", ["Client", "Server", "Object"])
def test_the_sections_are_the_messages_and_objects(kind: str) -> None:
    assert list(sections(kind)) == [name for of, name, _ in DOCUMENTED if of == kind]


@pytest.mark.parametrize(("kind", "name", "struct"), DOCUMENTED, ids=[f"{kind} {name}" for kind, name, _ in DOCUMENTED])
def test_fields_defaults_and_values_are_the_codes(kind: str, name: str, struct: type[msgspec.Struct]) -> None:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    fields = [field for field in info.fields if not (kind == "Server" and field.name == "seq")]
    table = rows(sections(kind)[name])
    assert [row[0] for row in table] == [f"`{field.name}`" for field in fields]
    assert [row[2] for row in table] == [default_text(field) for field in fields]
    for row, field in zip(table, fields, strict=True):
        missing = {promise for promise in promises(field.type) if promise not in row[1].replace("texts", "text")}
        assert not missing, f"{field.name}: {row[1]}"
        assert set(re.findall(r'"\w+"', row[1])) - {'"de"'} <= promises(field.type)


def test_the_error_table_is_the_codes() -> None:
    table = rows(TEXT.split("<!-- errors -->")[1])
    assert table == [
        [
            f"`{code}`",
            str(kind.close_code) if kind.close_code else "none",
            "yes" if kind.retryable else "no",
            kind.meaning,
        ]
        for code, kind in ERRORS.items()
    ]


def test_the_limits_are_the_codes_defaults() -> None:
    limits = {row[0]: int(row[1].split()[0]) for row in rows(TEXT.split("<!-- limits -->")[1])}
    assert limits == {
        "bytes of a message": MAX_MESSAGE_BYTES,
        "seconds until `start`": START_TIMEOUT_S,
        "seconds between two messages": IDLE_TIMEOUT_S,
        "seconds of audio that may be skipped at once": MAX_GAP_S,
        "markers under way": SessionSettings().max_waiting_markers,
        "messages waiting for a client that does not read": SessionSettings().outbox_messages,
        "questions open at once": MAX_OPEN,
        "characters of a question's messages": MAX_TEXT_CHARS,
    }


def test_the_version_and_the_subprotocols_are_the_codes() -> None:
    assert TEXT.startswith(f"# The native protocol, version {PROTOCOL_VERSION}\n")
    assert [row[0] for row in rows(TEXT.split("## Connect")[1])] == [f"`{name}`" for name in SUBPROTOCOLS]


EXCHANGE = TEXT.split("<!-- exchange -->")[1].split("```")[1].strip().split("\n")
SAID = [line[2:] for line in EXCHANGE if line.startswith("→ {")]
HEARD = [msgspec.json.decode(line[2:], type=ServerMessage) for line in EXCHANGE if line.startswith("← {")]


def test_the_example_is_an_exchange_that_the_code_could_have() -> None:
    """Every line is read strictly: a field that does not exist, or one at its default, would show."""
    assert isinstance(decode_client("json", SAID[0]), Start)
    assert [json.loads(line)["type"] for line in SAID] == ["start", "marker", "stop"]
    for message, line in zip(HEARD, (line for line in EXCHANGE if line.startswith("← {")), strict=True):
        assert json.loads(msgspec.json.encode(message)) == json.loads(line[2:])
    numbered = [message.seq for message in HEARD if is_numbered(message)]
    assert numbered == list(range(1, len(numbered) + 1))


def test_the_worked_diffs_are_those_of_the_example() -> None:
    reader = TranscriptReader()
    seen = []
    for message in HEARD:
        if isinstance(message, Transcript):
            listed = reader.read(message)
            stable = [word for word in listed if word.state == "stable"]
            bold = [f"**{plain_text(stable)}**"] if stable else []
            rest = [plain_text(listed[len(stable) :])] if len(listed) > len(stable) else []
            shown = " ".join(bold + rest)
            revision = f"{message.revision}, final" if message.final else str(message.revision)
            seen.append([revision, str(message.from_word), plain_text(message.words), shown])
    assert rows(TEXT.split("### Diffs")[1]) == seen
    assert reader.steadiness.stable_violations == 0
    assert [plain_text(words) for words in reader.finals.values()] == [
        message.text for message in HEARD if isinstance(message, Transcript) and message.final
    ]


def test_links_within_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", TEXT)) <= anchors
