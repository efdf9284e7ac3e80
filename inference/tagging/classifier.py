"""Any audio classifier of transformers as a tagger: AST and the like, by its name on the hub or its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch

from inference.pool.interface import SAMPLE_RATE, EngineStartError
from inference.tagging.hearing import Hearing
from inference.tagging.hysteresis import Threshold

WINDOW_SAMPLES: Final = 10 * SAMPLE_RATE
"""Audio that a block is judged by at most: it, and what its utterance has before it. AudioSet's clips are 10 s."""
LEAST_SAMPLES: Final = SAMPLE_RATE // 2
"""What is shorter is filled up with silence before it."""
AUDIOSET_LABELS: Final = 527
"""A model with so many was trained on AudioSet, where several labels hold at once, whatever its config says."""


class ClassifierTagger:
    """Implements `inference.engine.listening.Tagger`."""

    context_blocks = 1
    thresholds: Mapping[str, Threshold] = MappingProxyType({})
    speech_below = 0.0

    def __init__(self, name: str, device: torch.device) -> None:
        """Loads it.

        Raises:
            EngineStartError: there is no such model, or it takes no sound at 16 kHz.
        """
        from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

        where = str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name
        try:
            self._extractor: Any = AutoFeatureExtractor.from_pretrained(where)
            self._model: Any = AutoModelForAudioClassification.from_pretrained(where).to(device).eval()
        except (OSError, ValueError, ImportError) as error:
            reason = str(error).splitlines()[0]
            raise EngineStartError(
                f"The tagger {name!r} cannot be loaded ({reason}): give the name or the folder of an audio classifier "
                "of transformers, or choose `--tagger builtin` or `--tagger off`."
            ) from error
        rate = getattr(self._extractor, "sampling_rate", SAMPLE_RATE)
        if rate != SAMPLE_RATE:
            raise EngineStartError(f"The tagger {name!r} hears {rate} Hz; Tympan gives {SAMPLE_RATE}: choose another.")
        config = self._model.config
        self._device = device
        self.labels: tuple[str, ...] = tuple(str(config.id2label[index]) for index in range(config.num_labels))
        multi = getattr(config, "problem_type", None) == "multi_label_classification"
        self._independent = multi or config.num_labels == AUDIOSET_LABELS

    @torch.inference_mode()
    def hear(self, wanted: Sequence[Hearing]) -> list[tuple[float, ...]]:
        """One by one: padding to others' lengths would change what some models say."""
        return [self._scores(hearing) for hearing in wanted]

    def _scores(self, hearing: Hearing) -> tuple[float, ...]:
        audio, block = hearing.audio, hearing.recent[-1]
        until = min(block.until_sample - audio.start_sample, audio.received)
        pcm = audio.pcm[max(0, until - WINDOW_SAMPLES) : until]
        if len(pcm) < LEAST_SAMPLES:
            pcm = torch.nn.functional.pad(pcm, (LEAST_SAMPLES - len(pcm), 0))
        inputs = self._extractor(pcm.numpy(), sampling_rate=SAMPLE_RATE, return_tensors="pt").to(self._device)
        logits = self._model(**inputs).logits[0].float()
        scores = logits.sigmoid() if self._independent else logits.softmax(0)
        return tuple(round(float(score), 4) for score in scores)
