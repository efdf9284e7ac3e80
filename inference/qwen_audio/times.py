"""Times that a model wrote itself: stamps around words, and stamps in a sentence. None is ever made up."""
# ruff: noqa: RUF001  full-width punctuation is meant: Chinese and Japanese are written with it

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from inference.pool.tasks import TimedWord
from inference.qwen_audio.marks import Mark, Run

_SLACK_S = 0.04  # a stamp may lie this much after the end of the audio: one frame that the model hears


@dataclass(frozen=True, slots=True)
class Timed:
    words: tuple[TimedWord, ...]
    sound: bool
    """Every word has times, and every time makes sense."""


def words_between_stamps(runs: Sequence[Run], *, begun: bool, duration_s: float | None) -> Timed:
    """Reads `<|0.00|><|sil|><|0.54|>one<|0.86|>two<|1.17|>`: a stamp before and one after each word.

    A word keeps its times only if the stamps directly before and after it are in order, do not go back behind an
    earlier one, and lie within the audio.

    Args:
        begun: the answer was made to begin with the stamp 0.00, which may be missing from it.
        duration_s: length of the audio, where it is known.
    """
    latest = duration_s + _SLACK_S if duration_s is not None else float("inf")
    words: list[TimedWord] = []
    sound = True
    furthest = 0.0
    opened: float | None = 0.0 if begun else None
    said: list[Run] = []
    for run in runs:
        if isinstance(run, str) or run.seconds is None:
            said.append(run)
            continue
        trusted = furthest <= run.seconds <= latest
        word = _word(said)
        if word and trusted and opened is not None and opened < run.seconds:
            words.append(TimedWord(word, opened, run.seconds))
        elif word != "" or not trusted:
            sound = False
        opened = run.seconds if trusted else None
        furthest = run.seconds if trusted else furthest
        said = []
    return Timed(tuple(words), sound and not said)


def _word(said: Sequence[Run]) -> str | None:
    """What stands between two stamps: a word, nothing or silence (""), or something that is not of the form."""
    match said:
        case [] | [Mark("sil")]:
            return ""
        case [str(text)]:
            return text.strip()
        case _:
            return None


_SECONDS = r"\s*(?:s|secs?|seconds?)?\s*,?\s*"
_CONNECTION = re.compile(  # what stands between the begin and the end of a span, where anything does
    rf"{_SECONDS}(?:and\s+)?(?:it\s+)?(?:ends?|stops?|finish(?:es)?)\s+(?:at|on)\s*"
    rf"|{_SECONDS}(?:to|until|till|through|[-–—~])\s*"
    r"|\s*秒?\s*(?:开始|開始)?\s*[,，、]?\s*(?:并?在|到|至|于)\s*"
    r"|",
    re.IGNORECASE,
)
_AND = re.compile(rf"{_SECONDS}and\s*", re.IGNORECASE)
_BETWEEN = re.compile(r"\bbetween\s*$", re.IGNORECASE)
_LEAD_IN = re.compile(  # what leads from that which is timed to its first stamp
    r"(?:\b(?:is|are|was|were|can be|occurs?|appears?|spoken|said|heard|starts?|begins?|starting|beginning)\s+)*"
    r"(?:\b(?:at|from|between|on))?\s*$"
    r"|(?:的时间)?是?(?:出现)?[从在于]?\s*$",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|「([^」]+)」|『([^』]+)』|(?<!\w)'([^']+)'(?!\w)|‘([^’]+)’")
_SUBJECT = re.compile(r"^(?:and\s+)?(?:the\s+)?(?:(?:word|phrase|sound|event)s?\s+)?", re.IGNORECASE)
_AROUND = " \t,:;([，：；、（【"
_SENTENCE_END = re.compile(r"[.!?;。！？；\n]\s*")


def spans_in_text(runs: Sequence[Run], *, duration_s: float | None) -> Timed:
    """Reads `"hello" starts at <|2.33|> seconds and ends at <|3.26|>`: two stamps that the words between make a span.

    What is timed is the quotation before them in the same sentence, else what the sentence says until there. Stamps
    that are not said to be a begin and an end, and do not stand side by side, give no span.
    """
    latest = duration_s + _SLACK_S if duration_s is not None else float("inf")
    words: list[TimedWord] = []
    sound = True
    before = ""
    opened: float | None = None
    subject, between = "", False
    for run in runs:
        if isinstance(run, str):
            before += run
            continue
        if run.seconds is None:
            continue
        if opened is not None and (_CONNECTION.fullmatch(before) or (between and _AND.fullmatch(before))):
            in_order = opened < run.seconds <= latest
            sound = sound and in_order
            if in_order:
                words.append(TimedWord(subject, opened, run.seconds))
            opened = None
        else:
            opened, subject, between = run.seconds, _subject(before), bool(_BETWEEN.search(before))
        before = ""
    return Timed(tuple(words), sound)


def _subject(before: str) -> str:
    sentence = _SENTENCE_END.split(before)[-1]
    quotations = _QUOTED.findall(sentence)
    if quotations:
        return "".join(quotations[-1]).strip()
    return _SUBJECT.sub("", _LEAD_IN.sub("", sentence.strip(_AROUND)).strip(_AROUND)).strip()
