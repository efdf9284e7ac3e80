"""Short ways to say something to a redactor."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from streaming.protocol.messages import InterimPolicy, RedactKind, Transcript, Word, WordState
from streaming.transcript.redaction import Redactor
from streaming.transcript.text import plain_text


def line(
    text: str,
    *,
    utterance: int = 1,
    at_s: float = 0.0,
    final: bool = True,
    state: WordState | None = None,
    channel: int = 0,
    each_ms: int = 300,
    from_word: int = 0,
) -> Transcript:
    """An utterance whose words follow one another; `~` before a word glues it to the one before."""
    begin = round(at_s * 1000)
    words = [
        Word(
            id=utterance * 1000 + n,
            text=word.removeprefix("~"),
            start_ms=begin + n * each_ms,
            end_ms=begin + (n + 1) * each_ms,
            confidence=0.9,
            state=state or ("final" if final else "tentative"),
            glued=word.startswith("~"),
        )
        for n, word in enumerate(text.split())
    ]
    return Transcript(
        utterance=utterance,
        channel=channel,
        revision=1,
        from_word=from_word,
        words=words[from_word:],
        final=final,
        text=plain_text(words) if final else None,
        decoded_until_ms=begin + len(words) * each_ms,
    )


def redactor(*kinds: RedactKind, policy: InterimPolicy = "stable") -> Redactor:
    return Redactor(kinds or ("card", "phone", "digits"), policy, count(50_000).__next__)


def masked(text: str, *, by: Redactor | None = None, at_s: float = 0.0, utterance: int = 1, final: bool = True) -> str:
    """The text that leaves."""
    message = (by or redactor()).mask(line(text, at_s=at_s, utterance=utterance, final=final))
    assert isinstance(message, Transcript)
    return plain_text(message.words)


def conversation(by: Redactor, lines: Sequence[tuple[float, str]]) -> list[str]:
    """The finals of utterances that begin at these seconds."""
    return [masked(text, by=by, at_s=at_s, utterance=n) for n, (at_s, text) in enumerate(lines, start=1)]
