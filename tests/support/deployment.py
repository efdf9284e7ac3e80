"""The files of `deploy/` and docker-compose.yml, read for tests."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import compose_spec
import pytest

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
BALANCER = ROOT / "deploy" / "haproxy.cfg"

_VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?:(?P<operator>:-|:\?)(?P<rest>[^}]*))?\}")


def variables() -> dict[str, str | None]:
    """What docker-compose.yml asks of its environment, with the default; None: it must be set."""
    return {
        found["name"]: found["rest"] if found["operator"] == ":-" else None
        for found in _VARIABLE.finditer(COMPOSE.read_text("utf-8"))
    }


def compose(environment: Mapping[str, str]) -> dict[str, Any]:
    """The file as Compose would read it, checked against the Compose specification. Raises ValueError."""

    def value(found: re.Match[str]) -> str:
        given = environment.get(found["name"], "")
        if not given and found["operator"] == ":?":
            raise ValueError(found["rest"])
        return given or found["rest"] or ""

    text = _VARIABLE.sub(value, COMPOSE.read_text("utf-8"))
    read = compose_spec.PyOptions(apply_merge=True).from_yaml(text)
    read.validate()
    whole: dict[str, Any] = read.to_dict()
    return whole


def haproxy_binary() -> str:
    """The balancer's command. Without one the test is skipped, but fails where CI is set."""
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        reason = "no HAProxy is installed: apt-get install haproxy"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found
