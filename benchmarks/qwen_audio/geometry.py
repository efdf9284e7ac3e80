"""Qwen-Audio in sizes with random weights: what a step costs does not depend on what the model says."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from inference.qwen_audio.config import AudioConfig, QwenAudioConfig
from inference.qwen_audio.model import QwenAudio

SECOND = 16_000


def _geometry(
    width: int, layers: int, head_size: int, feed_forward: int, vocabulary: int, audio: tuple[int, int, int]
) -> QwenAudioConfig:
    """`audio`: width, heads, layers of the encoder."""
    audio_width, audio_heads, audio_layers = audio
    return QwenAudioConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // head_size,
        kv_channels=head_size,
        intermediate_size=2 * feed_forward,
        audio=AudioConfig(
            n_mels=80,
            n_ctx=1500,
            n_state=audio_width,
            n_head=audio_heads,
            n_layer=audio_layers,
            output_dim=width,
            audio_start_id=vocabulary - 3,
        ),
    )


GEOMETRIES: Final = {
    "tiny": _geometry(64, 2, 16, 128, 512, (64, 4, 2)),
    "mid": _geometry(512, 8, 64, 1376, 16_384, (512, 8, 6)),
    "7b": _geometry(4096, 32, 128, 11_008, 155_947, (1280, 20, 32)),
}
"""`7b` is the published model's; `mid` is small enough for a processor, with its parts in about the same relation."""


@torch.no_grad()
def random_model(config: QwenAudioConfig, device: torch.device, dtype: torch.dtype, seed: int = 0) -> QwenAudio:
    """Made where it runs: a model of 8 B parameters is never on the host."""
    with torch.device("meta"):
        model = QwenAudio(config).to(dtype)
    model = model.to_empty(device=device).eval().requires_grad_(False)
    random = torch.Generator(device).manual_seed(seed)
    for tensor in model.state_dict().values():
        if tensor.dim() > 1:
            tensor.normal_(std=tensor[0].numel() ** -0.5, generator=random)
        else:
            tensor.fill_(1.0)
    return model


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def noise(samples: int, seed: int = 0) -> Tensor:
    """float32 (samples,), as loud as speech."""
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))
