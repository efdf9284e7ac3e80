"""English words that say digits, days and months. Tables only."""

from __future__ import annotations

from typing import Final

UNITS: Final = {
    "zero": 0, "nought": 0, "naught": 0, "nil": 0, "null": 0,
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "niner": 9,
}  # fmt: skip
TEENS: Final = {
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
TENS: Final = {
    "twenty": 20, "thirty": 30, "forty": 40, "fourty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90, "ninty": 90,
}  # fmt: skip
PLURALS: Final = {
    "zeros": 0, "zeroes": 0, "ohs": 0, "ones": 1, "twos": 2, "threes": 3, "fours": 4, "fives": 5, "sixes": 6,
    "sevens": 7, "eights": 8, "nines": 9,
}  # fmt: skip
"""Behind another number: "three fours" is 444."""
TIMES: Final = {"double": 2, "triple": 3, "treble": 3, "quadruple": 4}
SCALES: Final = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9}
"""Digits that they add to the number before them."""
OH: Final = frozenset({"oh", "o"})
"""A zero among digits, else an exclamation."""
LIKE_DIGITS: Final = frozenset({"for", "to", "too", "won", "ate"})
"""What a recogniser may write for 4, 2, 1 and 8 among other digits."""
FILLERS: Final = frozenset({
    "uh", "um", "er", "erm", "ah", "eh", "hmm", "mm", "mhm", "and", "then", "so", "that", "s", "thats", "is", "its",
    "it", "this", "the", "next", "last", "first", "okay", "ok", "yes", "yeah", "yep", "no", "wait", "sorry", "dash",
    "hyphen", "space", "dot",
})  # fmt: skip
"""What stands between the digits of one number, for "oh" at their side."""

ORDINALS: Final = {
    "first": 1, "second": 1, "third": 1, "fourth": 1, "fifth": 1, "sixth": 1, "seventh": 1, "eighth": 1, "ninth": 1,
    "tenth": 2, "eleventh": 2, "twelfth": 2, "thirteenth": 2, "fourteenth": 2, "fifteenth": 2, "sixteenth": 2,
    "seventeenth": 2, "eighteenth": 2, "nineteenth": 2, "twentieth": 2, "thirtieth": 2,
}  # fmt: skip
"""Days of a month, and how many digits they are written with."""
MONTHS: Final = frozenset({
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
})  # fmt: skip
AMBIGUOUS: Final = frozenset({"may", "march", "mar", "second"})
"""Words that are no part of a date more often than they are."""
BEFORE_DATES: Final = frozenset({"of", "in", "since", "this", "last", "next", "on", "by", "until", "the", "born"})

CONTEXTS: Final = {
    "card": (
        ("security", "code"), ("cvv",), ("cvc",), ("c", "v", "v"), ("c", "v", "c"), ("expiry",), ("expires",),
        ("expiration",),
    ),
    "dob": (("born",), ("birth",), ("birthday",), ("birthdate",), ("dob",), ("d", "o", "b")),
    "digits": (("pin",), ("passcode",), ("password",)),
}  # fmt: skip
"""Of each kind: words after which even a short number is one of its."""
