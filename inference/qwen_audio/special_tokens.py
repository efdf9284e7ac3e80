"""Qwen-Audio's special tokens: their names in order, and their ids above a vocabulary of any size. No torch.

The checkpoint's tokenizer file holds the ordinary pieces only; the special tokens follow them, always in this order,
so that a token's id is the number of pieces plus its place here: 151,643 + 0 … 3,521 in the published model.
"""

from __future__ import annotations

LANGUAGE_TAGS: tuple[str, ...] = ("en", "zh", "de", "es", "ko", "fr", "ja", "it", "zh_tr")
"""ISO 639-1 codes, and `zh_tr`: Chinese in traditional characters."""
UNKNOWN = "unknown"
AUDIO_PAD = "[[[AUDIO:modality]]]"
AUDIO_START = "<audio>"
AUDIO_END = "</audio>"

_STAMPS_PER_SECOND = 100
_STAMPS = 30 * _STAMPS_PER_SECOND + 1  # <|0.00|> … <|30.00|>
_MIDI_VALUES = 128


def written(name: str) -> str:
    """`<|name|>`, as special tokens are written for people."""
    return f"<|{name}|>"


def _spell(hundredths: int) -> str:
    return f"{hundredths / _STAMPS_PER_SECOND:.2f}"


_NAMES = (
    "endoftext",
    "im_start",
    "im_end",
    *(f"extra_{number}" for number in range(205)),
    AUDIO_PAD,
    *("startoftranscript", "startofanalysis"),
    *("translate", "transcribe", "caption", "keyword"),
    *(UNKNOWN, *LANGUAGE_TAGS),
    *("notimestamps", "sil", "timestamps"),
    *(_spell(hundredths) for hundredths in range(_STAMPS)),
    *("caption_audiocaps", "caption_clotho", "audioset_ontology", "caption_plain", "itn", "wo_itn"),
    *("startofentityvalue", "endofentityvalue", "startofentitytype", "endofentitytype", "named_entity_recognition"),
    *("audio_grounding", "startofword", "endofword", "delim"),
    *("emotion_recognition", "music_description", "note_analysis"),
    *("pitch", *(f"midi_pitch_{value}" for value in range(_MIDI_VALUES))),
    *("velocity", *(f"midi_velocity_{value}" for value in range(_MIDI_VALUES))),
    *("sonic", "instrument", "speaker_meta", "song_meta"),
    *("question", "answer", "choice", "scene", "event", "vocal_classification"),
    *("speech_understanding", "scenario", "action", "entities", "speech_edit"),
    AUDIO_START,
    AUDIO_END,
)
_UNBRACKETED = (AUDIO_PAD, AUDIO_START, AUDIO_END)

SPECIAL_TOKENS: tuple[str, ...] = tuple(name if name in _UNBRACKETED else written(name) for name in _NAMES)
"""All 3,522 as they are written: `<|endoftext|>` first, `</audio>` last."""

_PLACES = {token: place for place, token in enumerate(SPECIAL_TOKENS)}
_FIRST_STAMP = _PLACES[written("0.00")]


class SpecialTokens:
    """The ids of the special tokens above `base` ordinary pieces."""

    def __init__(self, base: int) -> None:
        """
        Args:
            base: number of ordinary pieces; 151,643 in the published model.
        """
        self.base = base
        self.end_of_text = base
        """Ends an answer of the base model; separator and padding as well."""
        self.im_start = self.id("im_start")
        self.im_end = self.id("im_end")
        """Ends an answer of the chat model."""
        self.audio_pad = base + _PLACES[AUDIO_PAD]
        self.audio_start = base + _PLACES[AUDIO_START]
        self.audio_end = base + _PLACES[AUDIO_END]
        self.audio = frozenset({self.audio_start, self.audio_pad, self.audio_end})
        """Where a clip's frames stand; never part of text."""
        self.ends = frozenset({self.end_of_text, self.im_start, self.im_end})
        """After any of these nothing belongs to the answer."""

    @property
    def vocabulary(self) -> int:
        """Ordinary pieces and special tokens together; a checkpoint's embedding may have unused rows above."""
        return self.base + len(SPECIAL_TOKENS)

    def id(self, name: str) -> int:
        """
        Args:
            name: what stands between `<|` and `|>`.

        Raises:
            KeyError: there is no such special token.
        """
        return self.base + _PLACES[written(name)]

    def name(self, token: int) -> str | None:
        """The reverse of `id`; None for an ordinary piece and for a number beyond the vocabulary."""
        place = token - self.base
        return _NAMES[place] if 0 <= place < len(_NAMES) else None

    def stamp(self, seconds: float) -> int:
        """The token of a time, to the nearest 10 ms.

        Raises:
            ValueError: the time is not within 0 … 30 s.
        """
        hundredths = round(seconds * _STAMPS_PER_SECOND)
        if not 0 <= hundredths < _STAMPS:
            raise ValueError(f"there are stamps from 0 to 30 s, none for {seconds} s")
        return self.base + _FIRST_STAMP + hundredths

    def seconds(self, token: int) -> float | None:
        """The time that a stamp says; None for all other tokens."""
        hundredths = token - self.base - _FIRST_STAMP
        return hundredths / _STAMPS_PER_SECOND if 0 <= hundredths < _STAMPS else None
