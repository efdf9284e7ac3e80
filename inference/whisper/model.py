"""Whisper's layers as plain functions of tensors: what the incremental encoder and the batched decoder are made of.

Radford et al., 2022, "Robust Speech Recognition via Large-Scale Weak Supervision" (arXiv 2212.04356).
Linear layers take rows of many streams at once, without padding: (rows, d_model). Attention is done per stream.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.whisper.quantised import GELU_BELOW, QuantisedLinear
from inference.whisper.weights import WhisperConfig, WhisperWeights


@dataclass(frozen=True, slots=True)
class Norm:
    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, (x.shape[-1],), self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class Linear:
    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


LinearLayer = Linear | QuantisedLinear


@dataclass(frozen=True, slots=True)
class EncoderLayer:
    attention_norm: Norm
    qkv: LinearLayer
    """Rows q, k, v; q carries the 1/sqrt(head size) of attention."""
    out: LinearLayer
    ffn_norm: Norm
    fc1: LinearLayer
    fc2: LinearLayer
    alone: bool = False
    """Each utterance is put through it by itself: between layers in int8, which make much of the last bit, its
    rounding must not depend on the batch."""

    def ffn(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(self.ffn_norm(x))))


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    attention_norm: Norm
    qkv: Linear
    out: Linear
    cross_norm: Norm
    cross_q: Linear
    cross_kv: LinearLayer
    cross_out: Linear
    ffn_norm: Norm
    fc1: Linear
    fc2: Linear

    def ffn(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(self.ffn_norm(x))))


@dataclass(frozen=True, slots=True)
class WhisperModel:
    """The weights in the order and dtype in which a step uses them."""

    config: WhisperConfig
    conv1: tuple[Tensor, Tensor]
    conv2: tuple[Tensor, Tensor]
    audio_positions: Tensor  # (1500, d)
    encoder_layers: tuple[EncoderLayer, ...]
    encoder_norm: Norm
    embedding: Tensor  # (vocabulary, d), also the output projection
    text_positions: Tensor  # (448, d)
    decoder_layers: tuple[DecoderLayer, ...]
    decoder_norm: Norm

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.dtype

    @property
    def head_size(self) -> int:
        return self.config.d_model // self.config.heads

    def stem(self, mel: Tensor, first_frame: int) -> Tensor:
        """The two convolutions and the positions, for a run of frames somewhere in the window.

        Args:
            mel: normalised log-mel (mel_bins, 2 + 2 * n + 1), from mel frame 2 * first_frame - 2 to
                2 * (first_frame + n), both included. What lies outside the window is zero.
            first_frame: position of the first encoder frame in the utterance.
        Returns:
            (n, d_model).
        """
        x = F.gelu(F.conv1d(mel[None], self.conv1[0], self.conv1[1]))  # conv1 frames 2*first-1 .. 2*(first+n)-1
        if first_frame == 0:
            x = torch.cat([torch.zeros_like(x[:, :, :1]), x[:, :, 1:]], dim=2)  # conv2's padding
        x = F.gelu(F.conv1d(x, self.conv2[0], self.conv2[1], stride=2))[0].T
        return x + self.audio_positions[first_frame : first_frame + x.shape[0]]

    def split_heads(self, x: Tensor) -> Tensor:
        """(n, d) → (heads, n, head size), a view."""
        return x.view(x.shape[0], self.config.heads, self.head_size).transpose(0, 1)

    def logits(self, x: Tensor) -> Tensor:
        """(rows, d) → (rows, vocabulary), float32."""
        return F.linear(self.decoder_norm(x), self.embedding).float()


def build_model(
    weights: WhisperWeights, device: torch.device, dtype: torch.dtype, quantised: bool = False
) -> WhisperModel:
    """Puts a checkpoint's tensors into a WhisperModel.

    Args:
        quantised: the encoder's linear layers in int8; everything else stays float32. On a CPU only.

    Raises:
        KeyError: the checkpoint lacks a tensor that its configuration promises.
    """
    state = {key: value.to(device=device, dtype=dtype) for key, value in weights.state.items()}
    scale = 1 / math.sqrt(weights.config.d_model // weights.config.heads)

    def norm(key: str) -> Norm:
        return Norm(state[f"{key}.weight"], state[f"{key}.bias"])

    def linear(key: str) -> Linear:
        return Linear(state[f"{key}.weight"].contiguous(), state.get(f"{key}.bias"))

    def stacked(key: str, *parts: str) -> Linear:
        rows, biases = [], []
        for part in parts:
            weight = state[f"{key}.{part}.weight"]
            bias = state.get(f"{key}.{part}.bias")
            bias = torch.zeros_like(weight[:, 0]) if bias is None else bias
            factor = scale if part == "q_proj" else 1.0
            rows.append(weight * factor)
            biases.append(bias * factor)
        return Linear(torch.cat(rows).contiguous(), torch.cat(biases))

    def fast(layer: Linear, below: float = 1.0) -> LinearLayer:
        return QuantisedLinear(layer.weight, layer.bias, below) if quantised else layer

    def encoder_layer(index: int) -> EncoderLayer:
        key = f"model.encoder.layers.{index}"
        qkv, out = stacked(f"{key}.self_attn", "q_proj", "k_proj", "v_proj"), linear(f"{key}.self_attn.out_proj")
        fc1, fc2 = linear(f"{key}.fc1"), linear(f"{key}.fc2")
        sensitive = index == 0  # of tiny.en's encoder's error in int8, this layer alone makes two thirds
        return EncoderLayer(
            attention_norm=norm(f"{key}.self_attn_layer_norm"),
            qkv=qkv if sensitive else fast(qkv),
            out=out if sensitive else fast(out),
            ffn_norm=norm(f"{key}.final_layer_norm"),
            fc1=fc1 if sensitive else fast(fc1),
            fc2=fc2 if sensitive else fast(fc2, GELU_BELOW),
            alone=quantised and sensitive,
        )

    decoder = tuple(
        DecoderLayer(
            attention_norm=norm(f"{key}.self_attn_layer_norm"),
            qkv=stacked(f"{key}.self_attn", "q_proj", "k_proj", "v_proj"),
            out=linear(f"{key}.self_attn.out_proj"),
            cross_norm=norm(f"{key}.encoder_attn_layer_norm"),
            cross_q=stacked(f"{key}.encoder_attn", "q_proj"),
            cross_kv=fast(stacked(f"{key}.encoder_attn", "k_proj", "v_proj")),
            cross_out=linear(f"{key}.encoder_attn.out_proj"),
            ffn_norm=norm(f"{key}.final_layer_norm"),
            fc1=linear(f"{key}.fc1"),
            fc2=linear(f"{key}.fc2"),
        )
        for key in (f"model.decoder.layers.{index}" for index in range(weights.config.decoder_layers))
    )
    return WhisperModel(
        config=weights.config,
        conv1=(state["model.encoder.conv1.weight"], state["model.encoder.conv1.bias"]),
        conv2=(state["model.encoder.conv2.weight"], state["model.encoder.conv2.bias"]),
        audio_positions=state["model.encoder.embed_positions.weight"],
        encoder_layers=tuple(encoder_layer(index) for index in range(weights.config.encoder_layers)),
        encoder_norm=norm("model.encoder.layer_norm"),
        embedding=state["proj_out.weight"].contiguous(),
        text_positions=state["model.decoder.embed_positions.weight"],
        decoder_layers=decoder,
        decoder_norm=norm("model.decoder.layer_norm"),
    )
