"""What Qwen-Audio answered, read as the form that its task has. Nothing here raises, whatever the model wrote.

The forms are those of the published evaluation and of the special tokens that mark parts of an answer. What does not
keep to them stays in the text, and the answer is not complete.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from inference.pool.tasks import Answer, Task, TaskName
from inference.qwen_audio.marks import Mark, Run, join, plain_text, read_runs, up_to_end
from inference.qwen_audio.times import spans_in_text, words_between_stamps
from inference.qwen_audio.tokenizer import QwenTokenizer

NOTE_QUALITIES = frozenset(
    {"dark", "distortion", "nonlinear_env", "bright", "fast_decay", "long_release"}
    | {"tempo-synced", "reverb", "multiphonic", "percussive"}
)
"""Of NSynth (Engel et al., 2017, arXiv 1704.01279)."""

_NOTE_PARTS = ("pitch", "velocity", "instrument", "sonic")
_UTTERANCE_PARTS = ("scenario", "action", "entities")
_GROUNDING_MARKS = ("startofword", "endofword", "delim")
_ENTITY_MARKS = {"startofentityvalue": "endofentityvalue", "startofentitytype": "endofentitytype"}
_LIST = re.compile(r"[,;|，；、]")  # noqa: RUF001


def read_answer(
    task: Task, tokens: Sequence[int], tokenizer: QwenTokenizer, *, ended: bool = False, duration_s: float | None = None
) -> Answer:
    """Reads the tokens that follow a prompt of tags.

    Args:
        tokens: with or without those of the prompt's forced stamp and of the end.
        ended: the model ended the answer, where its token is not among `tokens`; else it was cut off.
        duration_s: length of the audio: times after it are not believed.
    """
    if task.name == "question":
        return read_reply(tokens, tokenizer, ended=ended, duration_s=duration_s)
    tokens, at_end = up_to_end(tokens, tokenizer)
    runs = read_runs(tokens, tokenizer)
    read = _READERS.get(task.name)
    answer = read(runs) if read else _with_times(task.name, runs, duration_s)
    return answer if ended or at_end else msgspec.structs.replace(answer, complete=False)


def read_labels(task: Task, text: str, *, ended: bool) -> Answer:
    """The same of a model that writes text only: names where the task is answered by names, else the text alone."""
    if _READERS.get(task.name) in (_label, _labels):
        answer = _READERS[task.name]([text] if text else [])
        return answer if ended else msgspec.structs.replace(answer, complete=False)
    return Answer(text, complete=ended and bool(text))


def read_reply(
    tokens: Sequence[int], tokenizer: QwenTokenizer, *, ended: bool = False, duration_s: float | None = None
) -> Answer:
    """Reads an answer in free words, of a question or in a chat: times are numbers in its text, spans are words.

    Args:
        tokens, ended, duration_s: as of `read_answer`; of several clips, `duration_s` is the longest's.
    """
    tokens, at_end = up_to_end(tokens, tokenizer)
    runs = read_runs(tokens, tokenizer)
    spans = spans_in_text(runs, duration_s=duration_s)
    text = tokenizer.decode(tokens, times=True).strip()
    in_form = bool(text) and all(isinstance(run, str) or run.seconds is not None for run in runs)
    return Answer(text, words=spans.words, complete=in_form and spans.sound and (ended or at_end))


def _with_times(name: TaskName, runs: Sequence[Run], duration_s: float | None) -> Answer:
    """Of `word_timestamps`, `grounding` and `speech_edit`."""
    text = plain_text(runs)
    if name == "word_timestamps":
        timed = words_between_stamps(runs, begun=True, duration_s=duration_s)
        return Answer(text, words=timed.words, complete=timed.sound)
    if runs and isinstance(runs[0], Mark) and runs[0].seconds is not None:
        timed = words_between_stamps(runs, begun=False, duration_s=duration_s)
    else:
        timed = spans_in_text(runs, duration_s=duration_s)
    known = all(isinstance(run, str) or run.seconds is not None or run.name in _GROUNDING_MARKS for run in runs)
    enough = bool(timed.words) if name == "grounding" else bool(text)
    return Answer(text, words=timed.words, complete=timed.sound and known and enough)


def _words(runs: Sequence[Run]) -> Answer:
    """Of speech; there may be none."""
    return Answer(plain_text(runs), complete=not _marks(runs))


def _sentence(runs: Sequence[Run]) -> Answer:
    text = plain_text(runs)
    return Answer(text, complete=bool(text) and not _marks(runs))


def _label(runs: Sequence[Run]) -> Answer:
    """A name of a fixed set: compared as a whole, so that it is not split."""
    text = plain_text(runs)
    return Answer(text, labels=(text,) if text else (), complete=bool(text) and not _marks(runs))


def _labels(runs: Sequence[Run]) -> Answer:
    """Names between `delim`, else between commas."""
    labels = _listed(runs)
    return Answer(plain_text(runs), labels=labels, complete=bool(labels) and not _marks(runs) - {"delim"})


def _listed(runs: Sequence[Run]) -> tuple[str, ...]:
    texts = [run for run in runs if isinstance(run, str)]
    if "delim" not in _marks(runs):
        texts = _LIST.split(join(texts))
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))


def _note(runs: Sequence[Run]) -> Answer:
    """`<|pitch|><|midi_pitch_60|><|velocity|><|midi_velocity_100|><|instrument|>guitar<|sonic|>bright, reverb`"""
    parts, complete = _parts(runs, _NOTE_PARTS)
    fields: dict[str, str] = {}
    for name in ("pitch", "velocity"):
        match parts.get(name):
            case [Mark(value)] if value.startswith(f"midi_{name}_"):
                fields[name] = value.rpartition("_")[2]
    instrument = parts.get("instrument", [])
    if plain_text(instrument):
        fields["instrument"] = plain_text(instrument)
    sonic = parts.get("sonic", [])
    qualities = _listed(sonic)
    complete = complete and fields.keys() == {"pitch", "velocity", "instrument"} and "sonic" in parts
    complete = complete and NOTE_QUALITIES.issuperset(qualities) and not _marks(instrument) | _marks(sonic)
    return Answer(plain_text(runs), labels=qualities, fields=fields, complete=complete)


def _utterance(runs: Sequence[Run]) -> Answer:
    """`<|scenario|>alarm<|action|>set<|entities|>…`; the entities as `type: value; …` where the model marked them."""
    parts, complete = _parts(runs, _UTTERANCE_PARTS)
    entities, sound = _entities_in(parts.get("entities", []))
    said = "; ".join(f"{kind}: {value}" for kind, value in entities) or plain_text(parts.get("entities", []))
    fields = {name: plain_text(parts.get(name, [])) for name in _UTTERANCE_PARTS[:2]} | {"entities": said}
    complete = complete and sound and bool(fields["scenario"] and fields["action"])
    complete = complete and not any(_marks(parts[name]) for name in _UTTERANCE_PARTS[:2])
    return Answer(plain_text(runs), fields={name: value for name, value in fields.items() if value}, complete=complete)


def _entities(runs: Sequence[Run]) -> Answer:
    """Type → what was said of it, `; ` between several."""
    entities, sound = _entities_in(runs)
    fields: dict[str, str] = {}
    for kind, value in entities:
        fields[kind] = f"{fields[kind]}; {value}" if kind in fields else value
    return Answer(plain_text(runs), fields=fields, complete=sound)


def _entities_in(runs: Sequence[Run]) -> tuple[list[tuple[str, str]], bool]:
    """(type, value) of each entity, and whether every mark has its place: a value beside its type, in either order."""
    entities: list[tuple[str, str]] = []
    sound = True
    waiting: dict[str, str] = {}
    at = 0
    while at < len(runs):
        match list(runs[at : at + 3]):
            case [Mark(first), str(text), Mark(last)] if _ENTITY_MARKS.get(first) == last:
                sound = sound and first not in waiting
                waiting[first] = text.strip()
                if len(waiting) == len(_ENTITY_MARKS):
                    entities.append((waiting["startofentitytype"], waiting["startofentityvalue"]))
                    waiting = {}
                at += 3
            case [str(), *_] | [Mark("delim"), *_]:
                at += 1
            case _:
                sound = False
                waiting = {}
                at += 1
    return entities, sound and not waiting


def _parts(runs: Sequence[Run], names: Sequence[str]) -> tuple[dict[str, list[Run]], bool]:
    """What follows the mark of each name, and whether each is there at most once and nothing stands before them."""
    parts: dict[str, list[Run]] = {}
    sound = True
    part: list[Run] = []
    outside = part
    for run in runs:
        if isinstance(run, Mark) and run.name in names:
            part = []
            sound = sound and run.name not in parts
            parts.setdefault(run.name, part)
        else:
            part.append(run)
    return parts, sound and not outside


def _marks(runs: Sequence[Run]) -> set[str]:
    return {run.name for run in runs if isinstance(run, Mark)}


_READERS: dict[TaskName, Callable[[Sequence[Run]], Answer]] = {
    "transcribe": _words,
    "translate": _words,
    "caption": _sentence,
    "music_description": _sentence,
    "scene": _label,
    "vocal_sound": _label,
    "emotion": _label,
    "sound_events": _labels,
    "speaker": _labels,
    "song": _labels,
    "entities": _entities,
    "speech_understanding": _utterance,
    "music_notes": _note,
}
