"""A real worker process with a model that answers: from PCM to captions and answers, over its socket."""

from __future__ import annotations

from pathlib import Path

from inference.pool.interface import Hypothesis, Job, StreamSpec
from inference.pool.local import LocalPool
from inference.pool.process import WorkerSettings
from inference.pool.tasks import Chat, ChatTurn, Task
from inference.qwen_audio.build import build_qwen_audio
from tests.support.adapter_checkpoints import melody
from tests.support.qwen_checkpoints import write_speaking_checkpoint

SECOND = 16_000
PCM = (melody(3.0) * 32_767).astype("<i2").tobytes()
TASKS = (Task(name="caption"), Task(name="question", question="who?"))
CHAT = Chat((ChatTurn("user", "what?", 1), ChatTurn("user", "and this?", 1)), (SECOND, 2 * SECOND), max_tokens=20)
JOBS = (
    Job("s", 0, 1, "interim", 0, 2 * SECOND),
    Job("s", 0, 2, "final", 0, 3 * SECOND),
    Job("s", 0, 3, "answer", 0, 3 * SECOND, tasks=TASKS),
    Job("s", 0, 4, "answer", 0, 3 * SECOND, chat=CHAT),
)


async def test_a_worker_hosts_qwen_audio(tmp_path: Path) -> None:
    """It says what the engine says in this process."""
    folder = str(write_speaking_checkpoint(tmp_path, chats=True, seed=2))
    engine = build_qwen_audio(folder, "cpu", 1)
    engine.open("s", StreamSpec(language="en"))
    engine.append("s", 0, 0, PCM)
    pool = LocalPool(WorkerSettings(model=folder, device="cpu", threads=1, precision="float32"))
    assert await pool.start() == engine.info
    try:
        pool.open("s", StreamSpec(language="en"))
        pool.append("s", 0, 0, PCM)
        for job in JOBS:
            more = True
            while more:
                (here,) = engine.step([job]).hypotheses
                (there,) = (await pool.step([job])).hypotheses
                assert said(there) == said(here)
                more = there.more
        pool.discard("s", 0)
        (error,) = (await pool.step([JOBS[2]])).errors
        assert error.code == "missing_audio"
    finally:
        await pool.stop()


def said(hypothesis: Hypothesis) -> tuple[object, ...]:
    """All but probabilities, which another number of threads may round otherwise."""
    words = [(word.text, word.tokens, word.start_sample, word.end_sample) for word in hypothesis.words]
    return hypothesis.revision, hypothesis.final, hypothesis.more, words, hypothesis.answers
