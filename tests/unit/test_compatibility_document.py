"""docs/compatibility.md is of the clients that `make test-sdks` tries, in their pinned versions, and of routes that are
there."""

import re
from pathlib import Path

import pytest
from starlette.routing import Route, WebSocketRoute

from streaming.app import make_app
from streaming.session.service import Service
from tests.sdks.clients import CLIENTS, Client
from tests.sdks.trial import pinned_version
from tests.support.deployment import ROOT

PAGE = (ROOT / "docs" / "compatibility.md").read_text("utf-8")
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_client_has_its_row_and_passed(client: Client) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{client.package}` | {pinned_version(client)} |")]
    assert len(rows) == 1
    assert client.exercised in rows[0]
    assert rows[0].endswith("| passed |")
    for difference in client.differences:
        assert difference in PAGE


def test_the_routes_are_those_of_the_app() -> None:
    told = set(re.findall(r"`(?:POST )?(/[\w/.]+)`", PAGE.partition("## Routes")[2].partition("\n\nWyoming has")[0]))
    paths = {route.path for route in make_app(Service()).routes if isinstance(route, Route | WebSocketRoute)}
    assert told <= paths


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_the_python_of_a_guide_is_python(guide: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", guide.read_text("utf-8"), re.DOTALL)
    for block in blocks:
        compile(block, str(guide), "exec")
