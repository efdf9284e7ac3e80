"""What the dispatcher needs of a session, for one of its streams."""

from __future__ import annotations

from typing import Protocol

from inference.pool.interface import Hypothesis, Job, JobError


class Listener(Protocol):
    """A session's side of its stream. Called on the event loop; must return at once."""

    def on_hypothesis(self, hypothesis: Hypothesis) -> None: ...

    def on_job_error(self, job: Job, error: JobError) -> None:
        """The job was given up: no answer will come. For a final, its samples are a gap."""

    def on_rebuilt(self, utterance: int) -> None:
        """The worker lacked the utterance's audio, and it was sent again."""

    def on_stream_failed(self, reason: str) -> None:
        """The stream is lost: its worker is, or no worker is left, or a callback of this listener raised. May be called
        more than once; what other workers still answer may come after it."""

    def segment_pcm(self, utterance: int) -> tuple[int, bytes] | None:
        """(first sample, s16le PCM) of all the utterance's audio so far, or None when it is not needed any more."""

    def prefix_tokens(self, job: Job) -> tuple[int, ...]:
        """The tokens that the job's answer must begin with, asked as the job starts: all earlier answers are in."""


class StreamClosedError(LookupError):
    """A job was submitted for a stream that is not open."""
