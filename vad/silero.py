"""Silero VAD, version 6: a small recurrent network, run by onnxruntime.

The weights come with the `silero-vad` package, which is located but not imported, since importing it imports torch.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vad.detector import BadStateError, DetectorError, decode_state
from vad.settings import FRAME_SAMPLES, SAMPLE_RATE

CONTEXT_SAMPLES: Final = 64
"""The end of the frame before, which the network sees in front of each frame of 512 (at 16 kHz)."""
_STATE_SHAPE: Final = (2, 1, 128)
_FULL_SCALE: Final = 32_768
_ERRORS_ONLY: Final = 3
_RATE: Final = np.array(SAMPLE_RATE, np.int64)


class _State(msgspec.Struct, frozen=True, array_like=True):
    made_by: str
    network: bytes
    """float32 of _STATE_SHAPE, little-endian."""
    context: bytes
    """s16le: the last frame that it heard may be long ago."""


class SileroDetector:
    """One stream's recurrent state; the network itself is shared by the process.

    Raises:
        DetectorError: the model file is not installed.
    """

    frame_samples = FRAME_SAMPLES

    def __init__(self) -> None:
        self._network = _network()
        self._input = np.zeros((1, CONTEXT_SAMPLES + FRAME_SAMPLES), np.float32)
        self.reset()

    def reset(self) -> None:
        self._state = np.zeros(_STATE_SHAPE, np.float32)
        self._input[:] = 0

    def probability(self, frame: NDArray[np.int16]) -> float:
        self._input[0, :CONTEXT_SAMPLES] = self._input[0, -CONTEXT_SAMPLES:]
        np.divide(frame, np.float32(_FULL_SCALE), out=self._input[0, CONTEXT_SAMPLES:])
        output, self._state = self._network.run(None, {"input": self._input, "state": self._state, "sr": _RATE})
        return float(output[0, 0])

    def state(self) -> bytes:
        context = np.rint(self._input[0, -CONTEXT_SAMPLES:] * np.float32(_FULL_SCALE)).astype("<i2")
        state = _State(_made_by(), self._state.astype("<f4", copy=False).tobytes(), context.tobytes())
        return msgspec.msgpack.encode(state)

    def restore(self, state: bytes, recent: NDArray[np.int16]) -> None:
        known = decode_state(state, _State)
        self.reset()
        if known.made_by != _made_by():
            for at in range(0, len(recent), FRAME_SAMPLES):
                self.probability(recent[at : at + FRAME_SAMPLES])
            return
        network, context = np.frombuffer(known.network, "<f4"), np.frombuffer(known.context, "<i2")
        if network.size != self._state.size or len(context) != CONTEXT_SAMPLES:
            raise BadStateError("the detector's state has another size")
        self._state = network.reshape(_STATE_SHAPE).astype(np.float32)
        self._input[0, -CONTEXT_SAMPLES:] = context / np.float32(_FULL_SCALE)


@cache
def _made_by() -> str:
    try:
        return f"silero-vad {version('silero-vad')}"
    except PackageNotFoundError:
        return "silero-vad"


@cache
def _network() -> Any:
    options = onnxruntime.SessionOptions()
    # A frame takes a quarter of a millisecond: threads of its own would only wait for each other.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(str(_model_path()), options, providers=["CPUExecutionProvider"])


def _model_path() -> Path:
    spec = find_spec("silero_vad")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / "silero_vad.onnx"
        if path.is_file():
            return path
    raise DetectorError("the Silero model is not installed: `pip install silero-vad`, or set the detector to webrtc")
