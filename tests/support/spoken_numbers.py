"""People who say card numbers: in groups, as words or digits, with fillers, corrections and pauses between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from random import Random

from inference.pool.interface import Hypothesis, HypothesisWord
from streaming.protocol.messages import InterimPolicy, Transcript
from streaming.session.utterance import wire_transcript
from streaming.transcript.stabilizer import Stabilizer

RATE = 16_000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
BETWEEN = (
    "uh", "um,", "that's", "and then", "no wait", "sorry,", "let me see", "honey, where is it?", "the next group is",
    "hold on a moment", "did you get that? Good.", "erm",
)  # fmt: skip


@dataclass(frozen=True)
class Said:
    """A word, and which digits of the number it tells."""

    text: str
    digits: tuple[int, ...] = ()
    start: int = 0
    end: int = 0


@dataclass
class Talk:
    utterances: list[list[Said]] = field(default_factory=list)


def card_number(random: Random) -> str:
    """13 to 19 digits with the right check digit."""
    more = random.choice((11, 13, 14, 14, 17))
    body = [random.randrange(1, 10), *(random.choice((0, 1, 1, random.randrange(10))) for _ in range(more))]
    doubled = [sum(divmod(2 * digit, 10)) if place % 2 == 0 else digit for place, digit in enumerate(reversed(body))]
    return "".join(map(str, [*body, -sum(doubled) % 10]))


def talk(random: Random, number: str) -> Talk:
    """The number, over one or several utterances, with no pause of ten seconds between two of its digits."""
    said = Talk([[]])
    clock = random.randrange(5 * RATE)
    silent = 0.0
    """Since the last digits."""

    def put(text: str, digits: tuple[int, ...] = ()) -> None:
        nonlocal clock, silent
        for place, part in enumerate(text.split()):
            length = RATE // random.choice((2, 3, 5))
            said.utterances[-1].append(Said(part, digits if place == 0 else (), clock, clock + length))
            clock += length
            silent = 0.0 if digits else silent + length / RATE

    for text in random.choice(((), ("my card is",), ("sure, it is",))):
        put(text)
    at = 0
    while at < len(number):
        size = min(random.choice((1, 2, 3, 4, 4, 4, 6)), len(number) - at)
        for text, digits in group(random, number, at, size):
            put(text, digits)
            if random.random() < 0.1 and silent < 5:
                put(random.choice(BETWEEN))  # 2.5 s at most
        if random.random() < 0.1:  # the wrong ones first
            for _ in range(random.randrange(1, 4)):
                put(random.choice(DIGITS))
            put("no wait")
        at += size
        if random.random() < 0.4 and silent < 5:
            put(random.choice(BETWEEN))
        if random.random() < 0.35:
            pause = random.uniform(0.5, 7.4 - silent) if silent < 6 else 0.5
            clock += round(pause * RATE)
            silent += pause
            if said.utterances[-1]:
                said.utterances.append([])
    for text in random.choice(((), ("and that is all.",), ("thank you",))):
        put(text)
    return Talk([utterance for utterance in said.utterances if utterance])


def group(random: Random, number: str, at: int, size: int) -> list[tuple[str, tuple[int, ...]]]:
    """Digits at … at + size, each word with the places of those that it tells."""
    digits = number[at : at + size]
    places = tuple(range(at, at + size))
    style = random.choice(("words", "words", "written", "written apart", "pairs", "doubles"))
    if style == "written":
        return [(digits + random.choice(("", ",", ".")), places)]
    if style == "written apart":
        return [(random.choice(("-", ", ", ".")).join(digits).replace(" ", ""), places)]
    if style == "pairs" and size % 2 == 0 and "0" not in digits[::2]:
        found: list[tuple[str, tuple[int, ...]]] = []
        for place in range(0, size, 2):
            found += _pair(random, digits[place : place + 2], places[place : place + 2])
        return found
    found, place = [], 0
    while place < size:
        if style == "doubles" and digits[place : place + 1] == digits[place + 1 : place + 2]:
            found += [("double", ()), (DIGITS[int(digits[place])], places[place : place + 2])]
            place += 2
        else:
            oh = digits[place] == "0" and 0 < place < size - 1 and random.random() < 0.5
            word = "oh" if oh else DIGITS[int(digits[place])]
            found.append((random.choice((word, word.capitalize(), word + ",")), places[place : place + 1]))
            place += 1
    return found


def _pair(random: Random, two: str, places: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    if two[0] == "1":
        return [(TEENS[int(two[1])], places)]
    tens = TENS[int(two[0]) - 2]
    if two[1] == "0":
        return [(tens, places)]
    if random.random() < 0.3:
        return [(f"{tens}-{DIGITS[int(two[1])]}", places)]
    return [(tens, places[:1]), (DIGITS[int(two[1])], places[1:])]


def transcripts(
    random: Random, said: Talk, policy: InterimPolicy, channel: int = 0, *, misheard: bool = True
) -> list[Transcript]:
    """What a session would say of it, unmasked: interims with words that are misheard or missing, and finals."""
    ids = count(1)
    messages: list[Transcript] = []
    for number, utterance in enumerate(said.utterances, start=1):
        stabilizer = Stabilizer(number, channel, policy, ids.__next__, tentative_hold_back_samples=0)
        heard = 0
        for revision in range(1, random.randrange(2, 8)):
            heard = min(len(utterance), heard + random.randrange(1, 6))
            words = [_misheard(random, word) if misheard else word for word in utterance[:heard]]
            until = utterance[heard - 1].end
            update = stabilizer.hypothesis(_hypothesis(words, number, revision, until, final=False))
            if update is not None:
                messages.append(wire_transcript(update, _hypothesis(words, number, revision, until, final=False), 0))
        until = utterance[-1].end + RATE // 2
        final = _hypothesis(utterance, number, 100, until, final=True)
        update = stabilizer.hypothesis(final)
        assert update is not None
        messages.append(wire_transcript(update, final, 0))
    return messages


def _misheard(random: Random, word: Said) -> Said:
    if random.random() < 0.85:
        return word
    return Said(random.choice((*DIGITS, "7", "41", "for", "oh", "the", "1111")), (), word.start, word.end)


def _hypothesis(words: list[Said], utterance: int, revision: int, until: int, *, final: bool) -> Hypothesis:
    return Hypothesis(
        stream="s",
        utterance=utterance,
        revision=revision,
        final=final,
        decoded_until=until,
        words=tuple(HypothesisWord(word.text, word.start, word.end, 0.9, (hash(word.text) % 1000,)) for word in words),
    )
