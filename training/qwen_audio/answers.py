"""The forms of the answers to the four tasks of `corpus`: how labels become them, and which form a text has."""

from __future__ import annotations

import re
from typing import Literal

from training.qwen_audio.tones import CADENCES

Form = Literal["nothing", "digits", "event", "tone", "words"]
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DIGITS = {"oh": "0"} | {word: str(value) for value, word in enumerate(_WORDS)}
EVENTS = frozenset(
    {"dog", "rain", "sea waves", "crying baby", "clock tick", "sneezing", "helicopter", "chainsaw", "rooster"}
    | {"crackling fire", "speech", "music", "telephone"}
)
CALL_TONES = {
    "dialtone": "dial tone",
    "ringback": "ringback tone",
    "busy": "busy tone",
    "congestion": "congestion tone",
    "reorder": "congestion tone",
    "callwaiting": "call waiting tone",
    "sit": "special information tone",
    "cng": "fax calling tone",
    "ced": "fax answer tone",
    "howler": "off hook tone",
    "recordwarn": "recording tone",
    "beep": "voicemail beep",
    "t3": "smoke alarm",
}
"""By the end of a file's name."""


def spoken(label: str) -> str | None:
    """A transcript in lower case without punctuation, single digits as words; None where it is not what was said:
    it has longer numbers, or other signs that are spoken."""
    plain = label.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    text = re.sub(r"(?<!\d)(?<!\d[.,-])\d(?![.,-]?\d|%)", lambda digit: f" {_WORDS[int(digit[0])]} ", plain)
    text = " ".join(re.sub(r"[.,;:!?\"()]|(?<!\w)'|'(?!\w)|-", " ", text).split())
    return text if re.fullmatch(r"[a-z' ]+", text) else None


def written_digits(words: str) -> str | None:
    """`seven oh three` → `703`; None where anything else is said."""
    found = [_DIGITS.get(word) for word in words.split()]
    return "".join(digit for digit in found if digit) if found and all(found) else None


def tone_name(stem: str, label: str) -> str | None:
    """The caption of a tone of the corpus: of a call tone its name, of keys the keys, each apart; None for silence."""
    if label.startswith("DTMF "):
        keys = re.sub(r"^(.) x3$", r"\1\1\1", label.removeprefix("DTMF ").strip())
        return "keys " + " ".join(keys.lower())
    return CALL_TONES.get(stem.rpartition("_")[2])


def form_of(text: str) -> Form:
    """Which task a text answers, by its form alone."""
    text = text.strip()
    if not text:
        return "nothing"
    if re.fullmatch(r"\d[\d ]*", text):
        return "digits"
    if text in EVENTS:
        return "event"
    if text in CADENCES or re.fullmatch(r"keys( [0-9a-d*#])*", text):
        return "tone"
    return "words"
