"""WebRTC's voice activity detector: Gaussian mixtures over six sub-band energies. Cheap, and easily fooled by music."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import msgspec
import numpy as np
import webrtcvad
from numpy.typing import NDArray

from vad.detector import BadStateError, decode_state
from vad.settings import FRAME_SAMPLES, SAMPLE_RATE

_SUB_FRAME_BYTES = SAMPLE_RATE // 100 * 2  # 320: 10 ms, the shortest frame that it takes


_SUB_FRAME_SAMPLES: Final = SAMPLE_RATE // 100  # 160
_KNOWN_VERSION: Final = "2.0.14.post1"
"""Of webrtcvad-wheels: the one whose `VadInstT` is `_VadInst`."""


class _Downsampling(ctypes.Structure):
    """`WebRtcSpl_State48khzTo8khz` of common_audio/signal_processing/include/signal_processing_library.h."""

    _fields_ = (
        ("s_48_24", ctypes.c_int32 * 8),
        ("s_24_24", ctypes.c_int32 * 16),
        ("s_24_16", ctypes.c_int32 * 8),
        ("s_16_8", ctypes.c_int32 * 8),
    )


class _VadInst(ctypes.Structure):
    """`VadInstT` of common_audio/vad/vad_core.h: no pointers, so its bytes are all of the detector's state."""

    _fields_ = (
        ("vad", ctypes.c_int),
        ("downsampling_filter_states", ctypes.c_int32 * 4),
        ("state_48_to_8", _Downsampling),
        ("noise_means", ctypes.c_int16 * 12),
        ("speech_means", ctypes.c_int16 * 12),
        ("noise_stds", ctypes.c_int16 * 12),
        ("speech_stds", ctypes.c_int16 * 12),
        ("frame_counter", ctypes.c_int32),
        ("over_hang", ctypes.c_int16),
        ("num_of_speech", ctypes.c_int16),
        ("index_vector", ctypes.c_int16 * 96),
        ("low_value_vector", ctypes.c_int16 * 96),
        ("mean_value", ctypes.c_int16 * 6),
        ("upper_state", ctypes.c_int16 * 5),
        ("lower_state", ctypes.c_int16 * 5),
        ("hp_filter_state", ctypes.c_int16 * 4),
        ("over_hang_max_1", ctypes.c_int16 * 3),
        ("over_hang_max_2", ctypes.c_int16 * 3),
        ("individual", ctypes.c_int16 * 3),
        ("total", ctypes.c_int16 * 3),
        ("init_flag", ctypes.c_int),
    )


_MODE_FIELDS = slice(_VadInst.over_hang_max_1.offset, ctypes.sizeof(_VadInst))
"""What the mode alone decides, and the mark of an initialised instance."""
_capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class _State(msgspec.Struct, frozen=True, array_like=True):
    made_by: str
    core: bytes
    """The bytes of `_VadInst`; empty where the library's structure is not known."""
    waiting: int
    """Samples at the end of the newest frame that belong to a sub-frame which is not whole yet."""


class WebrtcDetector:
    """The share of voiced 10 ms sub-frames among those that end in the frame.

    512 samples are 3.2 sub-frames: what is left over waits for the next frame, so that sub-frames lie on one grid
    and every sample is looked at once.
    """

    frame_samples = FRAME_SAMPLES

    def __init__(self, mode: int = 2) -> None:
        """`mode` is 0 (takes most for speech) to 3 (takes least)."""
        self.mode = mode
        self.reset()

    def reset(self) -> None:
        self._vad = webrtcvad.Vad(self.mode)
        self._waiting = b""

    def probability(self, frame: NDArray[np.int16]) -> float:
        data = self._waiting + frame.tobytes()
        whole = len(data) // _SUB_FRAME_BYTES
        voiced = sum(
            bool(self._vad.is_speech(data[at : at + _SUB_FRAME_BYTES], SAMPLE_RATE))
            for at in range(0, whole * _SUB_FRAME_BYTES, _SUB_FRAME_BYTES)
        )
        self._waiting = data[whole * _SUB_FRAME_BYTES :]
        return voiced / whole

    def state(self) -> bytes:
        core = ctypes.string_at(self._address(), ctypes.sizeof(_VadInst)) if _structure_known() else b""
        return msgspec.msgpack.encode(_State(self._made_by(), core, len(self._waiting) // 2))

    def restore(self, state: bytes, recent: NDArray[np.int16]) -> None:
        known = decode_state(state, _State)
        if not 0 <= known.waiting < min(_SUB_FRAME_SAMPLES, len(recent) + 1):
            raise BadStateError("the samples that wait for their sub-frame are not there")
        self.reset()
        heard, waiting = np.split(recent, [len(recent) - known.waiting])
        if known.core and known.made_by == self._made_by():
            self._copy(known.core)
        else:
            for at in range(len(heard) % _SUB_FRAME_SAMPLES, len(heard), _SUB_FRAME_SAMPLES):
                self._vad.is_speech(heard[at : at + _SUB_FRAME_SAMPLES].tobytes(), SAMPLE_RATE)
        self._waiting = waiting.tobytes()

    def _copy(self, core: bytes) -> None:
        own = ctypes.string_at(self._address(), ctypes.sizeof(_VadInst))
        if len(core) != len(own) or core[_MODE_FIELDS] != own[_MODE_FIELDS]:
            raise BadStateError("the detector's state has another size or mode")
        ctypes.memmove(self._address(), core, len(core))

    def _address(self) -> Any:
        return _capsule_pointer(self._vad._vad, b"WebRtcVadPtr")

    def _made_by(self) -> str:
        return f"webrtcvad-wheels {_installed_version()} {sys.byteorder} mode {self.mode}"


@cache
def _installed_version() -> str:
    try:
        return version("webrtcvad-wheels")
    except PackageNotFoundError:
        return "unknown"


def _structure_known() -> bool:
    return _installed_version() == _KNOWN_VERSION
