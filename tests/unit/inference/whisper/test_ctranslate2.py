"""CTranslate2's model.bin: what is in it, under which names, and files that are none."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inference.whisper.ctranslate2 import BrokenModelFile, read_variables, to_transformers_names
from inference.whisper.weights import bundled_folder
from tests.support.checkpoints import transformers_model

DTYPE_IDS = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


def text(value: str) -> bytes:
    data = value.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def variable(name: str, array: NDArray[Any]) -> bytes:
    shape = b"".join(struct.pack("<I", size) for size in array.shape)
    data = array.tobytes()
    kind = DTYPE_IDS[array.dtype.name]
    return text(name) + bytes([array.ndim]) + shape + bytes([kind]) + struct.pack("<I", len(data)) + data


def model_file(
    variables: dict[str, NDArray[Any]],
    aliases: dict[str, str] | None = None,
    *,
    version: int = 6,
    spec: str = "WhisperSpec",
) -> bytes:
    parts = [struct.pack("<I", version), text(spec), struct.pack("<II", 3, len(variables))]
    parts += [variable(name, array) for name, array in variables.items()]
    parts.append(struct.pack("<I", len(aliases or {})))
    parts += [text(alias) + text(name) for alias, name in (aliases or {}).items()]
    return b"".join(parts)


def put(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    return path


SMALL: dict[str, NDArray[Any]] = {
    "a/weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b/weight": np.array([1, -2], dtype=np.int8),
    "c/half": np.array([[0.5], [0.25]], dtype=np.float16),
    "d/scalar": np.array(7, dtype=np.int16),
    "e/count": np.array([2**31 - 1], dtype=np.int32),
}


def test_variables_keep_their_names_shapes_types_and_values(tmp_path: Path) -> None:
    found = read_variables(put(tmp_path, model_file(SMALL)))
    assert {name: tuple(value.shape) for name, value in found.items()} == {n: a.shape for n, a in SMALL.items()}
    for name, array in SMALL.items():
        assert torch.equal(found[name], torch.from_numpy(array.copy()))


def test_an_alias_is_the_variable_it_names(tmp_path: Path) -> None:
    found = read_variables(put(tmp_path, model_file(SMALL, {"tied/weight": "a/weight"})))
    assert found["tied/weight"] is found["a/weight"]


def test_an_alias_of_nothing_is_a_broken_file(tmp_path: Path) -> None:
    with pytest.raises(BrokenModelFile):
        read_variables(put(tmp_path, model_file(SMALL, {"tied/weight": "nobody"})))


@pytest.mark.parametrize("version", [0, 1, 7, 2**31])
def test_an_unknown_version_is_refused_by_its_number(tmp_path: Path, version: int) -> None:
    with pytest.raises(BrokenModelFile, match=f"version {version}"):
        read_variables(put(tmp_path, model_file(SMALL, version=version)))


def test_another_kind_of_model_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(BrokenModelFile, match="TransformerSpec"):
        read_variables(put(tmp_path, model_file(SMALL, spec="TransformerSpec")))


def test_a_file_cut_anywhere_is_broken(tmp_path: Path) -> None:
    """Each proper prefix of a file ends inside some field."""
    whole = model_file(SMALL, {"tied/weight": "a/weight"})
    for length in range(len(whole)):
        with pytest.raises(BrokenModelFile):
            read_variables(put(tmp_path, whole[:length]))


ONE_VARIABLE = model_file({}).replace(struct.pack("<II", 3, 0), struct.pack("<II", 3, 1))
GARBAGE = {
    "text": b"<!doctype html><title>404</title>" * 20,
    "zeros": bytes(1000),
    "version and noise": struct.pack("<I", 6) + bytes(range(256)) * 4,
    "unknown type": ONE_VARIABLE + text("x") + bytes([0, 9]) + struct.pack("<I", 0),
    "size that does not fit the shape": model_file({"x": np.zeros(3, np.float32)}).replace(
        struct.pack("<I", 12) + bytes(12), struct.pack("<I", 8) + bytes(12)
    ),
    "rank of 200": ONE_VARIABLE + text("x") + bytes([200]),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_a_broken_file(tmp_path: Path, kind: str) -> None:
    with pytest.raises(BrokenModelFile):
        read_variables(put(tmp_path, GARBAGE[kind]))


def test_the_bundled_model_fills_every_key_of_transformers_whisper() -> None:
    """Same keys and same shapes, nothing left over."""
    state = to_transformers_names(read_variables(bundled_folder() / "model.bin"))
    wanted = transformers_model().state_dict()
    assert {key: value.shape for key, value in state.items()} == {key: value.shape for key, value in wanted.items()}
    assert all(value.dtype == torch.float32 and bool(value.isfinite().all()) for value in state.values())


def test_a_whole_file_without_whispers_variables_is_broken() -> None:
    with pytest.raises(BrokenModelFile, match="it has no float"):
        to_transformers_names({"encoder/conv1/weight": torch.zeros(1, 1, 1)})


def test_quantised_weights_are_named_as_what_is_missing() -> None:
    """int8 variables are not read as weights: their scales would be lost."""
    variables = {"decoder/embeddings/weight": torch.zeros(2, 2, dtype=torch.int8)}
    with pytest.raises(BrokenModelFile):
        to_transformers_names(variables)


def test_stacked_projections_come_apart_in_order() -> None:
    """Self-attention: q, k, v; cross-attention: q, then k, v. A key has no bias."""
    weight = torch.arange(6.0)[:, None].expand(6, 2)
    names = {
        "decoder/layer_0/self_attention/linear_0/weight": weight,
        "decoder/layer_0/self_attention/linear_0/bias": torch.arange(6.0),
        "decoder/layer_0/attention/linear_1/weight": weight[:4],
        "decoder/layer_0/attention/linear_1/bias": torch.arange(4.0),
    }
    top = read_variables(bundled_folder() / "model.bin")
    state = to_transformers_names({name: value for name, value in top.items() if "layer_0" not in name} | names)
    prefix = "model.decoder.layers.0."
    assert state[f"{prefix}self_attn.q_proj.weight"][:, 0].tolist() == [0, 1]
    assert state[f"{prefix}self_attn.k_proj.weight"][:, 0].tolist() == [2, 3]
    assert state[f"{prefix}self_attn.v_proj.bias"].tolist() == [4, 5]
    assert state[f"{prefix}encoder_attn.k_proj.weight"][:, 0].tolist() == [0, 1]
    assert state[f"{prefix}encoder_attn.v_proj.bias"].tolist() == [2, 3]
    assert f"{prefix}self_attn.k_proj.bias" not in state
    assert f"{prefix}encoder_attn.k_proj.bias" not in state
