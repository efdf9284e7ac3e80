"""A session's tasks: what the wire asks for, as the engine takes it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from inference.pool import tasks as pool
from inference.pool.interface import EngineInfo, StreamSpec
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import CAPTIONING, Task

_KNOWN = 20
"""Names in a message."""


class SessionTasks(msgspec.Struct, frozen=True, array_like=True):
    """In the order in which they were asked for, but for the captions', which is first."""

    captions: Task = Task()
    others: tuple[Task, ...] = ()

    @property
    def every(self) -> list[Task]:
        return [self.captions, *self.others]

    @property
    def spec(self) -> StreamSpec:
        """What the captions want of the model."""
        task = self.captions
        assert task.name in CAPTIONING
        return StreamSpec(language=task.language, task=task.name, target=task.target, written=task.written)  # type: ignore[arg-type]

    @property
    def asked(self) -> tuple[pool.Task, ...]:
        """The others, as the engine takes them."""
        return tuple(
            pool.Task(
                name=task.name,
                language=task.language,
                target=task.target,
                style=task.style or "clotho",
                written=task.written,
                question=task.question,
            )
            for task in self.others
        )


def session_tasks(task: Task | Sequence[Task]) -> SessionTasks:
    """The captions' is the first that writes words; where none does, the speech is transcribed."""
    every = [task] if isinstance(task, Task) else list(task)
    place = next((place for place, one in enumerate(every) if one.name in CAPTIONING), None)
    if place is None:
        language = next((one.language for one in every if one.language is not None), None)
        return SessionTasks(Task(language=language), tuple(every))
    return SessionTasks(every[place], (*every[:place], *every[place + 1 :]))


def check_tasks(task: Task | Sequence[Task], info: EngineInfo) -> None:
    """
    Raises:
        ProtocolError: `unsupported`; the model cannot be asked this, or a task's fields do not go together.
    """
    for place, one in enumerate([task] if isinstance(task, Task) else task):
        _check(one, "$.task" if isinstance(task, Task) else f"$.task[{place}]", info)
    others = session_tasks(task).others
    if others and not info.answers:
        raise ProtocolError(
            "unsupported",
            f"$.task: the model {info.model} writes captions only: one of {', '.join(_captioning(info))}; "
            f"{others[0].name} beside them needs a model that answers (`tympan models` lists them)",
        )


def _check(task: Task, at: str, info: EngineInfo) -> None:
    if task.name not in info.tasks:
        more = "; it knows English only" if task.name == "translate" and info.languages == ("en",) else ""
        raise ProtocolError(
            "unsupported",
            f"$.task: the model {info.model} has no task {task.name}{more}; it has {', '.join(info.tasks)}",
        )
    if task.language is not None and task.language not in info.languages:
        raise _refusal(f"{at}.language", info, info.languages)
    _check_target(task, at, info)
    if (task.question is not None) is not (task.name == "question"):
        what = "is needed by the task `question`" if task.question is None else "belongs to the task `question` only"
        raise ProtocolError("unsupported", f"{at}.question: {what}")
    if task.style is not None and task.name != "caption":
        raise ProtocolError("unsupported", f"{at}.style: belongs to the task `caption` only")
    if task.written and task.name != "transcribe":
        raise ProtocolError("unsupported", f"{at}.written: belongs to the task `transcribe` only")


def _check_target(task: Task, at: str, info: EngineInfo) -> None:
    if task.target is None:
        if task.name == "translate" and task.language == "en":
            raise ProtocolError("unsupported", f"{at}.target: English is spoken already; say what to translate into")
        return
    if task.name in ("transcribe", "word_timestamps"):
        if task.target not in (task.language, f"{task.language}_tr"):
            raise ProtocolError(
                "unsupported", f"{at}.target: {task.name} writes in the language that is spoken; ask for translate"
            )
        if task.target not in (task.language, *info.targets):
            raise _refusal(f"{at}.target", info, info.targets)
    elif task.name == "question" and task.target != task.language:
        raise ProtocolError("unsupported", f"{at}.target: a question is answered in the language that it is asked in")
    elif task.target not in info.targets:
        raise _refusal(f"{at}.target", info, info.targets)
    elif task.name == "translate" and task.target == task.language:
        raise ProtocolError("unsupported", f"{at}.target: is what is spoken; ask for transcribe, or another target")


def _refusal(at: str, info: EngineInfo, known: Sequence[str]) -> ProtocolError:
    names = ", ".join(known[:_KNOWN])
    return ProtocolError("unsupported", f"{at}: the model {info.model} does not know it; known: {names}")


def _captioning(info: EngineInfo) -> list[str]:
    return [name for name in info.tasks if name in CAPTIONING]
