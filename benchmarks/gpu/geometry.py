"""Whisper models of a published size with random weights: what a step costs does not depend on what they say."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from inference.whisper.weights import WhisperConfig, WhisperWeights, load_weights

GEOMETRIES: Final = {
    "tiny": (384, 4, 4, 80, 51_864),
    "large-v3-turbo": (1280, 32, 4, 128, 51_866),
    "large-v3": (1280, 32, 32, 128, 51_866),
}
"""Name → width, encoder layers, decoder layers, mel bins, vocabulary (Hugging Face model cards)."""


def random_weights(name: str, seed: int = 0) -> WhisperWeights:
    """Weights that make numbers of a usual size; tokenizer and vocabulary are the bundled model's.

    Raises:
        KeyError: no such geometry.
    """
    width, encoder_layers, decoder_layers, bins, vocabulary = GEOMETRIES[name]
    bundled = load_weights()
    config = WhisperConfig(vocabulary, width, encoder_layers, decoder_layers, width // 64, bins, 1500, 448)
    random = torch.Generator().manual_seed(seed)

    def matrix(*shape: int) -> Tensor:
        fan_in = shape[1] if len(shape) > 1 else 1
        made: Tensor = torch.randn(*shape, generator=random) * fan_in**-0.5
        return made

    state: dict[str, Tensor] = {
        "model.encoder.conv1.weight": matrix(width, bins, 3),
        "model.encoder.conv1.bias": torch.zeros(width),
        "model.encoder.conv2.weight": matrix(width, width, 3),
        "model.encoder.conv2.bias": torch.zeros(width),
        "model.encoder.embed_positions.weight": 0.02 * matrix(1500, width),
        "model.decoder.embed_positions.weight": 0.02 * matrix(448, width),
        "model.decoder.embed_tokens.weight": matrix(vocabulary, width),
    }
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]

    def norm(key: str) -> None:
        state[f"{key}.weight"], state[f"{key}.bias"] = torch.ones(width), torch.zeros(width)

    def attention(key: str) -> None:
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            state[f"{key}.{part}.weight"] = matrix(width, width)
            if part != "k_proj":
                state[f"{key}.{part}.bias"] = torch.zeros(width)

    for side, layers in (("encoder", encoder_layers), ("decoder", decoder_layers)):
        norm(f"model.{side}.layer_norm")
        for index in range(layers):
            key = f"model.{side}.layers.{index}"
            attention(f"{key}.self_attn")
            norm(f"{key}.self_attn_layer_norm")
            norm(f"{key}.final_layer_norm")
            state[f"{key}.fc1.weight"], state[f"{key}.fc1.bias"] = matrix(4 * width, width), torch.zeros(4 * width)
            state[f"{key}.fc2.weight"], state[f"{key}.fc2.bias"] = matrix(width, 4 * width), torch.zeros(width)
            if side == "decoder":
                attention(f"{key}.encoder_attn")
                norm(f"{key}.encoder_attn_layer_norm")
    heads = tuple((decoder_layers - 1, head) for head in range(min(6, config.heads)))
    return replace(bundled, name=f"{name} (random)", config=config, alignment_heads=heads, state=state)


def parameters(weights: WhisperWeights) -> int:
    """Distinct ones: tied weights count once."""
    return sum({tensor.data_ptr(): tensor.numel() for tensor in weights.state.values()}.values())
