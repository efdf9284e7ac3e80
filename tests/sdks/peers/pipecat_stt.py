"""pipecat-ai: its speech-to-text services for Deepgram and OpenAI in a pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from exchange import RATE, Wanted, answer, wanted
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.worker import PipelineParams
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.openai.stt import OpenAIRealtimeSTTService
from pipecat.tests.utils import SleepFrame, run_test

STEP_S = 0.1
AFTER_S = 6.0


def frames(asked: Wanted) -> Iterator[Frame]:
    yield SleepFrame(1.5)
    yield VADUserStartedSpeakingFrame()
    step, pcm = round(STEP_S * RATE) * 2, asked.pcm
    for at in range(0, len(pcm), step):
        yield InputAudioRawFrame(audio=pcm[at : at + step], sample_rate=RATE, num_channels=1)
        yield SleepFrame(STEP_S)
    yield VADUserStoppedSpeakingFrame()
    yield SleepFrame(AFTER_S)


async def listen(asked: Wanted, service: Any) -> None:
    params = PipelineParams(audio_in_sample_rate=RATE)
    down, up = await run_test(service, frames_to_send=list(frames(asked)), pipeline_params=params)
    finals = [frame for frame in down if isinstance(frame, TranscriptionFrame)]
    answer(
        " ".join(frame.text for frame in finals),
        interims=any(isinstance(frame, InterimTranscriptionFrame) for frame in down),
        no_errors=not any(isinstance(frame, ErrorFrame) for frame in (*down, *up)),
    )


ASKED = wanted()
match ASKED.mode:
    case "paced":
        asyncio.run(listen(ASKED, DeepgramSTTService(api_key=ASKED.key, base_url=f"ws://{ASKED.host}")))
    case "openai":
        openai = OpenAIRealtimeSTTService(api_key=ASKED.key, base_url=f"ws://{ASKED.host}/v1/realtime")
        asyncio.run(listen(ASKED, openai))
