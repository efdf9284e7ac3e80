"""The Lua scripts that Redis runs: each is one atomic step."""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent / "lua"


class Script:
    """A script, known to the server by its hash once it ran there."""

    def __init__(self, name: str) -> None:
        common = (FOLDER / "common.lua").read_text(encoding="utf-8")
        self.name = name
        self.source = (common + (FOLDER / f"{name}.lua").read_text(encoding="utf-8")).encode()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


ACQUIRE = Script("acquire")
RENEW = Script("renew")
RELEASE = Script("release")
DELETE = Script("delete")
COMMIT = Script("commit")
APPEND_EVENTS = Script("append_events")
READ_RECORD = Script("read_record")
READ_EVENTS = Script("read_events")
READ_PCM = Script("read_pcm")
