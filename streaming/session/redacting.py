"""Which numbers a session hides, and what it cannot be asked then. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from inference.pool.interface import EngineInfo
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import RedactKind, Task, TaskName
from streaming.session.tasks import session_tasks
from streaming.transcript.redaction import KINDS

HARMLESS: Final[frozenset[TaskName]] = frozenset(
    {"caption", "sound_events", "scene", "vocal_sound", "emotion", "speaker", "music_notes", "music_description"}
)
"""Tasks beside the captions that do not write what is said."""
NO_QUESTIONS: Final = "this session hides numbers, and an answer could tell them in any form: it takes no questions"


def redacted_kinds(*asked: Iterable[str]) -> list[RedactKind]:
    """All that anybody asks for, the server's settings (where `all` stands for all) or the client: neither takes back
    what the other wants."""
    wanted = {kind for kinds in asked for kind in kinds}
    return [kind for kind in KINDS if kind in wanted or "all" in wanted]


def check_redaction(kinds: Sequence[RedactKind], task: Task | Sequence[Task], info: EngineInfo) -> None:
    """
    Raises:
        ProtocolError: `unsupported`; a session with these tasks could tell what it hides.
    """
    if not kinds:
        return
    tasks = session_tasks(task)
    if not _in_english(tasks.captions, info):
        raise ProtocolError(
            "unsupported",
            f"$.task: numbers are hidden here ({', '.join(kinds)}), which works in English only: "
            f"ask for language en, or for a translation into it",
        )
    telling = next((one for one in tasks.others if one.name not in HARMLESS), None)
    if telling is not None:
        raise ProtocolError(
            "unsupported",
            f"$.task: numbers are hidden here ({', '.join(kinds)}), and {telling.name} could tell them; "
            f"beside the captions there may be {', '.join(sorted(HARMLESS))}",
        )


def _in_english(captions: Task, info: EngineInfo) -> bool:
    if captions.name == "translate":
        return captions.target in (None, "en")
    return captions.language == "en" or info.languages == ("en",)
