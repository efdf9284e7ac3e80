"""docs/operations.md and docs/watching.md say what the code does: settings, routes, metrics, the viewers' message."""

from __future__ import annotations

import dataclasses
import json
import re

import msgspec
import pytest
from starlette.routing import Route, WebSocketRoute

from streaming.app import make_app
from streaming.config import Config
from streaming.protocol.watching import Watching
from streaming.session.service import Service
from streaming.transport.sessions_rest import FORMS
from tests.support.deployment import ROOT

OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
WATCHING = (ROOT / "docs" / "watching.md").read_text("utf-8")
CHAT = (ROOT / "docs" / "chat.md").read_text("utf-8")


def table(text: str, after: str) -> list[list[str]]:
    """The cells of the first table behind a mark, without its head."""
    lines = text.partition(after)[2].lstrip().split("\n")
    end = next(at for at, line in enumerate(lines) if not line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:end]]


def test_every_setting_stands_in_the_table_with_its_default() -> None:
    settings = Config()
    expected = {
        f"`{section.name}.{field.name}`": f"`{json.dumps(field.default)}`"
        for section in dataclasses.fields(Config)
        for field in dataclasses.fields(getattr(settings, section.name))
    }
    rows = table(OPERATIONS, "<!-- settings -->")
    assert {key: default for key, default, _ in rows} == expected
    assert all(meaning for _, _, meaning in rows)


def test_the_viewers_message_has_the_fields_of_its_table() -> None:
    fields = msgspec.structs.fields(Watching)
    expected = {
        f"`{field.name}`": "required" if field.required else f"`{json.dumps(field.default)}`" for field in fields
    }
    rows = table(WATCHING, "<!-- watching -->")
    assert {name: default for name, _, default, _ in rows} == expected


def test_every_route_of_a_session_is_described() -> None:
    paths = {route.path for route in make_app(Service()).routes if isinstance(route, Route | WebSocketRoute)}
    sessions = {path.replace("{session}", "ID") for path in paths if "{session}" in path}
    asking = {"/v1/sessions/ID/chat", "/v1/sessions/ID/chat/completions"}
    reading = {"/v1/sessions/ID", "/v1/sessions/ID/watch", "/v1/sessions/ID/call"}
    assert sessions == asking | reading | {f"/v1/sessions/ID/transcript.{form}" for form in FORMS}
    assert all(path in CHAT for path in asking)
    for path in sessions - asking:
        place, _, form = path.rpartition(".")
        assert (f"`GET {path}`" in WATCHING) or (f"GET {place}." in WATCHING and f".{form}`" in WATCHING)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tympan_\w+)`", OPERATIONS))))
async def test_a_metric_that_is_named_is_there(name: str) -> None:
    service = Service()
    service.metrics.watch_scheduler(lambda: service.stats)
    assert re.search(rf"^# TYPE {name} ", service.metrics.render().decode(), re.MULTILINE)


@pytest.mark.parametrize("text", [OPERATIONS, WATCHING], ids=["operations", "watching"])
def test_links_lead_somewhere(text: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not link.startswith("http"):
            assert (ROOT / "docs" / link).exists(), link
