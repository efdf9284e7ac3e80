"""Samples as files in memory."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

CODECS = {"ogg": "libopus", "webm": "libopus", "flac": "flac", "mp3": "mp3", "wav": "pcm_s16le", "mp4": "aac"}


def encoded(samples: NDArray[np.int16], form: str, *, rate: int = 16_000) -> bytes:
    """int16 (n,) or (n, 2) at a rate, as FFmpeg's format of that name."""
    layout = "mono" if samples.ndim == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
    frame.sample_rate = rate
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        codec = CODECS[form]
        stream: Any = container.add_stream(codec, rate=48_000 if codec == "libopus" else rate)
        stream.layout = layout
        resampler = av.AudioResampler(stream.format.name, layout, stream.rate, stream.codec_context.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return file.getvalue()
