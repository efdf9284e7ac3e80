"""Reads a Whisper model in CTranslate2's `model.bin` format and names its variables as transformers does.

Layout (little endian): u32 version; string spec name; u32 revision; u32 variable count; each variable is
name, u8 rank, u32 dimensions, u8 dtype, u32 byte count, bytes; then u32 alias count and pairs of names.
A string is a u16 length and that many bytes, NUL-terminated.
Source: OpenNMT/CTranslate2, `python/ctranslate2/specs/model_spec.py`.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_MAX_RANK = 4


class BrokenModelFile(ValueError):
    """The file is not a readable CTranslate2 Whisper model."""


def read_variables(path: Path) -> dict[str, Tensor]:
    """Returns every variable of the file, aliases resolved, in the file's own names and dtypes.

    Raises BrokenModelFile when the file is cut short or is not such a file.
    """
    reader = _Reader(path.read_bytes())
    try:
        version = reader.u32()
        if not 2 <= version <= 6:
            raise BrokenModelFile(f"binary version {version} is not one of 2 to 6")
        spec = reader.string()
        if spec != "WhisperSpec":
            raise BrokenModelFile(f"the model is a {spec[:40]!r}, not a 'WhisperSpec'")
        reader.u32()  # revision of the spec
        variables = dict(reader.variable() for _ in range(reader.u32()))
        for _ in range(reader.u32()):
            alias, name = reader.string(), reader.string()
            variables[alias] = variables[name]
    except (struct.error, UnicodeDecodeError, KeyError, ValueError) as error:
        raise BrokenModelFile(f"not a whole CTranslate2 Whisper file: {error}") from error
    return variables


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) != count:
            raise BrokenModelFile(f"it ends at byte {len(self._data)}, {count - len(piece)} bytes early")
        self._at += count
        return piece

    def u8(self) -> int:
        return self.take(1)[0]

    def u32(self) -> int:
        return int(struct.unpack("<I", self.take(4))[0])

    def string(self) -> str:
        (length,) = struct.unpack("<H", self.take(2))
        return self.take(length).rstrip(b"\0").decode("utf-8")

    def variable(self) -> tuple[str, Tensor]:
        name = self.string()
        rank = self.u8()
        if rank > _MAX_RANK:
            raise BrokenModelFile(f"{name} has rank {rank}")
        shape = tuple(self.u32() for _ in range(rank))
        dtype = np.dtype(_DTYPES[self.u8()])
        array = np.frombuffer(self.take(self.u32()), dtype=dtype).reshape(shape)
        return name, torch.from_numpy(array.copy())


_TOP = {
    "encoder/conv1/weight": "model.encoder.conv1.weight",
    "encoder/conv1/bias": "model.encoder.conv1.bias",
    "encoder/conv2/weight": "model.encoder.conv2.weight",
    "encoder/conv2/bias": "model.encoder.conv2.bias",
    "encoder/position_encodings/encodings": "model.encoder.embed_positions.weight",
    "encoder/layer_norm/gamma": "model.encoder.layer_norm.weight",
    "encoder/layer_norm/beta": "model.encoder.layer_norm.bias",
    "decoder/embeddings/weight": "model.decoder.embed_tokens.weight",
    "decoder/position_encodings/encodings": "model.decoder.embed_positions.weight",
    "decoder/layer_norm/gamma": "model.decoder.layer_norm.weight",
    "decoder/layer_norm/beta": "model.decoder.layer_norm.bias",
}
_NORM = {"gamma": "weight", "beta": "bias"}
_NORM_OF = {"self_attention": "self_attn_layer_norm", "attention": "encoder_attn_layer_norm", "ffn": "final_layer_norm"}


def to_transformers_names(variables: dict[str, Tensor]) -> dict[str, Tensor]:
    """Maps CTranslate2's variables to the state dict of transformers' WhisperForConditionalGeneration, float32.

    Self-attention stacks q, k, v in `linear_0`; cross-attention has q in `linear_0` and k, v in `linear_1`.
    Whisper's key projection has no bias; the stacked bias holds zeros there.

    Raises BrokenModelFile when variables that every Whisper has are not there, or not as floats.
    """
    state: dict[str, Tensor] = {}
    for name, value in variables.items():
        if not value.is_floating_point():
            continue
        tensor = value.to(torch.float32)
        if name in _TOP:
            state[_TOP[name]] = tensor
            continue
        match = re.fullmatch(r"(encoder|decoder)/layer_(\d+)/(self_attention|attention|ffn)/(\w+)/(\w+)", name)
        if match is None:
            continue
        side, layer, block, part, kind = match.groups()
        prefix = f"model.{side}.layers.{layer}."
        if part == "layer_norm":
            state[f"{prefix}{_NORM_OF[block]}.{_NORM[kind]}"] = tensor
        elif block == "ffn":
            state[f"{prefix}{'fc1' if part == 'linear_0' else 'fc2'}.{kind}"] = tensor
        else:
            attention = "self_attn" if block == "self_attention" else "encoder_attn"
            for projection, piece in _split_projections(block, part, tensor):
                if not (projection == "k_proj" and kind == "bias"):
                    state[f"{prefix}{attention}.{projection}.{kind}"] = piece
    missing = sorted({*_TOP.values()} - {*state})
    if missing:
        raise BrokenModelFile(f"it has no float {missing[0]}")
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    return state


def _split_projections(block: str, part: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    stacked = {
        ("self_attention", "linear_0"): ("q_proj", "k_proj", "v_proj"),
        ("self_attention", "linear_1"): ("out_proj",),
        ("attention", "linear_0"): ("q_proj",),
        ("attention", "linear_1"): ("k_proj", "v_proj"),
        ("attention", "linear_2"): ("out_proj",),
    }[block, part]
    return list(zip(stacked, tensor.chunk(len(stacked)), strict=True))
