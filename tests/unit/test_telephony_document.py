"""docs/telephony.md says what the code does: routes, options, reports, and how a signature is checked."""

import re
import time
from typing import Any

import pytest
from starlette.routing import Route, WebSocketRoute

from streaming.app import make_app
from streaming.protocol.dialect import CallInfo
from streaming.protocol.dialects.telephony import call_start
from streaming.protocol.messages import (
    AudioFormat,
    Call,
    Endpointing,
    Error,
    Event,
    Gap,
    MarkerEcho,
    ModelInfo,
    Ready,
    Start,
    Summary,
    Transcript,
)
from streaming.protocol.reports import Reporter, signature
from streaming.session.service import Service
from tests.support.deployment import ROOT
from tests.unit.test_operations_document import table

PAGE = (ROOT / "docs" / "telephony.md").read_text("utf-8")
GUIDES = [ROOT / "docs" / "guides" / f"{name}.md" for name in ("twilio", "asterisk")]


def test_the_routes_are_there() -> None:
    paths = {route.path for route in make_app(Service()).routes if isinstance(route, Route | WebSocketRoute)}
    lines = [where.strip("`") for where, *_ in table(PAGE, "## The lines\n")]
    assert set(lines) - {"a TCP port"} <= paths
    forms = {f"/v1/calls/{{call}}{rest}" for rest in ("", "/watch", "/call", "/transcript.json", "/transcript.vtt")}
    assert forms <= paths


def test_each_option_changes_the_session() -> None:
    audio = AudioFormat(encoding="mulaw", sample_rate=8000, channels=2)
    values = {"language": "en", "labels": "a,b", "keywords": "x", "redact": "all", "silence_ms": "900"}
    options = [name.strip("`") for name, _ in table(PAGE, "in its text):") if name.startswith("`")]
    assert sorted(options) == sorted(values)
    plain: Start = call_start(audio, {})
    for name in options:
        assert call_start(audio, {name: values[name]}) != plain
    assert f"; {plain.endpointing.min_silence_ms} where" in PAGE


def test_the_reports_are_those_of_the_table() -> None:
    reporter = Reporter(CallInfo(protocol="twilio", id="c"))
    messages: list[Any] = [
        Ready(
            session="s",
            model=ModelInfo(name="", device="", dtype=""),
            audio=AudioFormat(),
            interim="stable",
            endpointing=Endpointing(),
            max_message_bytes=1,
        ),
        Transcript(utterance=1, channel=0, revision=1, from_word=0, words=[], final=True),
        Event(label="x", channel=0, start_ms=0),
        Call(kind="hold", start_ms=0),
        MarkerEcho(id="m", sample=0),
        Gap(from_sample=0, to_sample=1, reason="client"),
        Error(code="decode_failed", message="", fatal=False),
        Summary(audio_ms=0, speech_ms=0, utterances=0, words=0),
    ]
    reports = [reporter.say(message) for message in messages]
    kinds = {re.search(rb'"type":"([\w.]+)"', report.body)[1].decode() for report in reports if report}  # type: ignore[index]
    told = {name for cell, _ in table(PAGE, '"text": "It is red."}}\n```') for name in re.findall(r"`([\w.]+)`", cell)}
    assert kinds == told - {"call_summary", "analysis"}


def test_its_function_takes_a_genuine_signature_and_no_other() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/telephony.md", "exec"), names)
    genuine, now = names["genuine"], int(time.time())
    assert genuine("s", signature("s", now, b"{}"), b"{}")
    assert not genuine("s", signature("t", now, b"{}"), b"{}")
    assert not genuine("s", signature("s", now, b"{}"), b"[]")
    assert not genuine("s", signature("s", now - 1000, b"{}"), b"{}")


@pytest.mark.parametrize("page", [ROOT / "docs" / "telephony.md", *GUIDES], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Any) -> None:
    for link, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text("utf-8")):
        target = (page.parent / link if link else page).resolve()
        assert target.exists(), link
        heads = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
        slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
        assert not anchor or anchor in slugs, (link, anchor)
