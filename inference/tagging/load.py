"""The tagger that `engine.tagger` names."""

from __future__ import annotations

import logging
from typing import Final

import torch

from inference.pool.interface import EngineStartError
from inference.tagging.classifier import ClassifierTagger
from inference.tagging.head import TagHead
from inference.tagging.hearing import Tagger
from inference.whisper.weights import WhisperConfig

log = logging.getLogger(__name__)

BUILTIN: Final = "builtin"
OFF: Final = "off"
HUB: Final = "hub:"


def load_tagger(name: str, config: WhisperConfig, device: torch.device) -> Tagger | None:
    """None where nothing is to be heard beside words.

    Args:
        name: `builtin`, the head that ships with the service, for the encoder that it was trained on, and nothing for
            others; `off`; or `hub:` and the name of an audio classifier on the hub, or its folder.
        config: of the model whose encoder runs.

    Raises:
        EngineStartError: it is not to be had; one sentence with the remedy.
    """
    if name == OFF:
        return None
    if name.startswith(HUB) and len(name) > len(HUB):
        return ClassifierTagger(name.removeprefix(HUB), device)
    if name != BUILTIN:
        raise EngineStartError(f"There is no tagger {name!r}: it is `builtin`, `off`, or `hub:` and a model's name.")
    head = TagHead.load()
    if head.fits(config.encoder_layers, config.d_model):
        return head
    log.info("the built-in tagger is of another encoder: nothing is heard beside words; see engine.tagger")
    return None
