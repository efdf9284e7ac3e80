"""What runs next, and nothing else: a pure policy over queued jobs.

The order is: finals before interims, then the earliest deadline, then the order of submission. How many run at once
goes by what a job costs (`pace`). Each stream has

- a queue of finals in the order of its utterances, bounded by `max_finals_per_stream`;
- one place for an interim: a newer interim replaces a queued one, and a final of the same or a later
  utterance removes it; an early final is treated as an interim;
- a queue of answer jobs, in the order of their submission, which run beside interims by their deadlines;
- one place for a sounds job for each of its utterances, where a newer one replaces a queued one; they run by their
  deadlines too;
- at most one job in flight, so that the next one can be bound to what this one answered.

Time is an argument, in seconds on any clock that does not go backwards.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from inference.pool.interface import Job
from streaming.scheduler.pace import Pace

MAX_WAIT_S = 0.010
RECENT_DELAYS = 2048  # queue delays kept for the percentiles


class StreamQueueFullError(Exception):
    """A stream has as many finals, or answer jobs, queued as the policy keeps; submit again when one is done."""

    def __init__(self, stream: str, limit: int) -> None:
        super().__init__(f"the stream has {limit} of these jobs waiting")
        self.stream = stream
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Ticket:
    """A job in the queue or in flight. Its `serial` is its identity: it is never used again."""

    serial: int
    job: Job
    deadline: float
    submitted_at: float
    waiting_since: float
    """When it was submitted, or the interim that it replaced in the queue."""
    tries: int = 0
    """Batches that held this job before."""
    alone: bool = False
    """Runs in a batch of its own, because a batch that held it failed as a whole."""


@dataclass(slots=True)
class Counters:
    """Sums since the policy was made."""

    submitted: int = 0
    started: int = 0
    batches: int = 0
    coalesced: int = 0
    """Interims and early finals that never ran, because a newer job of their stream covers them."""
    cancelled: int = 0
    retried: int = 0
    given_up: int = 0
    capacity: int = 0
    """`max_batch` summed over the batches; `started / capacity` is the occupancy."""

    @property
    def occupancy(self) -> float:
        """0 to 1."""
        return self.started / self.capacity if self.capacity else 0.0


@dataclass(slots=True)
class _Lane:
    finals: deque[Ticket] = field(default_factory=deque)
    interim: Ticket | None = None
    answers: deque[Ticket] = field(default_factory=deque)
    sounds: dict[int, Ticket] = field(default_factory=dict)
    """By utterance, oldest first."""
    in_flight: Ticket | None = None
    last_final: int = -1
    """The newest utterance whose final was submitted; its interims, and older ones, are covered."""
    cancelled_in_flight: bool = False
    free_since: float = -math.inf
    """When a batch was first asked for after its last job was done; infinite until then."""

    def head(self) -> Ticket | None:
        """The job that this stream would run now."""
        if self.in_flight is not None:
            return None
        if self.finals:
            return self.finals[0]
        others = (*islice(self.answers, 1), *islice(self.sounds.values(), 1))
        waiting = [ticket for ticket in (self.interim, *others) if ticket is not None]
        return min(waiting, key=_urgency, default=None)

    def waiting(self) -> Iterator[Ticket]:
        """All that are queued."""
        yield from self.finals
        if self.interim is not None:
            yield self.interim
        yield from self.answers
        yield from self.sounds.values()

    def empty(self) -> bool:
        return self.in_flight is None and next(self.waiting(), None) is None


class Policy:
    """Order of calls: `submit` at any time; `next_batch` when the engine is free; `complete` or `retry` for every
    ticket of that batch. Utterance numbers of a stream grow.
    """

    def __init__(
        self,
        max_batch: int = 64,
        *,
        max_wait_s: float = MAX_WAIT_S,
        max_finals_per_stream: int = 64,
        max_tries: int = 3,
        pace: Pace | None = None,
    ) -> None:
        """`max_wait_s`: how long a lone interim may wait for others to share its batch."""
        if max_batch < 1 or max_finals_per_stream < 1 or max_tries < 1 or max_wait_s < 0:
            raise ValueError("max_batch, max_finals_per_stream and max_tries are at least 1, max_wait_s at least 0")
        self.max_batch = max_batch
        self.counters = Counters()
        self.queue_delays_s: deque[float] = deque(maxlen=RECENT_DELAYS)
        self._waits: deque[tuple[float, float]] = deque(maxlen=RECENT_DELAYS)
        self._max_wait_s = max_wait_s
        self._max_finals = max_finals_per_stream
        self._max_tries = max_tries
        self._lanes: dict[str, _Lane] = {}
        self._pace = pace or Pace()
        self._next_serial = 0
        self._last_batch_size = 0

    # -- what comes in ------------------------------------------------------------------------------------------

    def submit(self, job: Job, now: float, deadline: float) -> Ticket:
        """Queues a job.

        An interim replaces the stream's queued one. It is counted as coalesced, and does not run, when a final of
        its utterance or of a later one was submitted before it.

        Raises:
            StreamQueueFullError: `job` is a final and its stream has `max_finals_per_stream` of them queued; the same
                of answer jobs, and of sounds jobs.
            ValueError: `job` is a final of an utterance that is not newer than the stream's last final.
        """
        lane = self._lanes.get(job.stream) or _Lane()
        ticket = Ticket(self._next_serial, job, deadline, now, waiting_since=now)
        if job.kind == "final":
            self._queue_final(lane, ticket)
        elif job.kind == "answer":
            self._queue_answer(lane, ticket)
        elif job.kind == "sounds":
            self._queue_sounds(lane, ticket)
        else:
            self._queue_interim(lane, ticket)
        self._lanes[job.stream] = lane
        self._next_serial += 1
        self.counters.submitted += 1
        return ticket

    def cancel(self, stream: str, utterance: int) -> None:
        """Forgets the queued jobs of an utterance; one in flight is not tried again."""
        lane = self._lanes.get(stream)
        if lane is None:
            return
        before = sum(1 for _ in lane.waiting())
        lane.finals = deque(ticket for ticket in lane.finals if ticket.job.utterance != utterance)
        lane.answers = deque(ticket for ticket in lane.answers if ticket.job.utterance != utterance)
        lane.sounds.pop(utterance, None)
        if lane.interim is not None and lane.interim.job.utterance == utterance:
            lane.interim = None
        self.counters.cancelled += before - sum(1 for _ in lane.waiting())
        if lane.in_flight is not None and lane.in_flight.job.utterance == utterance:
            lane.cancelled_in_flight = True

    def drop_stream(self, stream: str) -> None:
        """Forgets the stream with its queue; what it has in flight belongs to nobody from here on."""
        lane = self._lanes.pop(stream, None)
        if lane is not None:
            self.counters.cancelled += sum(1 for _ in lane.waiting())

    # -- what goes out ------------------------------------------------------------------------------------------

    def next_batch(self, now: float) -> list[Ticket] | None:
        """The next jobs, at most one per stream and `max_batch` in all; None while there is nothing to run yet."""
        for lane in self._lanes.values():
            if lane.in_flight is None:
                lane.free_since = min(lane.free_since, now)
        ready = sorted((head for lane in self._lanes.values() if (head := lane.head())), key=_urgency)
        if not ready or now < self._starts_at(ready):
            return None
        limit = self._pace.limit(overdue_s=now - min(ticket.deadline for ticket in ready)) or self.max_batch
        batch = (
            [ready[0]]
            if ready[0].alone
            else [ticket for ticket in ready if not ticket.alone][: min(limit, self.max_batch)]
        )
        for ticket in batch:
            self._start(ticket, now)
        self.counters.batches += 1
        self.counters.capacity += self.max_batch
        self._last_batch_size = len(batch)
        return batch

    def stepped(self, jobs: int, seconds: float) -> None:
        """A step of so many jobs took so long: the size of the next ones goes by it."""
        self._pace.stepped(jobs, seconds)

    def wake_at(self) -> float | None:
        """When `next_batch` would return a batch if nothing else came in; None if it never would."""
        ready = sorted((head for lane in self._lanes.values() if (head := lane.head())), key=_urgency)
        return self._starts_at(ready) if ready else None

    def wanted(self, ticket: Ticket) -> bool:
        """This job is in flight, and was neither cancelled nor belongs to a dropped stream."""
        lane = self._lanes.get(ticket.job.stream)
        if lane is None or lane.in_flight is None or lane.cancelled_in_flight:
            return False
        return lane.in_flight.serial == ticket.serial

    def complete(self, batch: Iterable[Ticket]) -> list[Ticket]:
        """These jobs were answered, or given up: their streams may run the next one.

        Returns:
            The tickets whose answers are still wanted: neither cancelled nor of a dropped stream.
        """
        return [ticket for ticket in batch if self._land(ticket) is not None]

    def retry(self, batch: Iterable[Ticket], *, alone: bool = False) -> list[Ticket]:
        """These jobs failed in a way that another try may mend; they go back to where they were.

        An interim that a newer job covers by now is coalesced instead.

        Returns:
            The tickets that had their last try: they left the queue, and their owners must be told.
        """
        given_up: list[Ticket] = []
        for ticket in batch:
            lane = self._land(ticket)
            if lane is None:
                continue
            if ticket.tries + 1 >= self._max_tries:
                self.counters.given_up += 1
                given_up.append(ticket)
                continue
            again = replace(ticket, tries=ticket.tries + 1, alone=ticket.alone or alone)
            if ticket.job.kind == "final":
                lane.finals.appendleft(again)
            elif ticket.job.kind == "answer":
                lane.answers.appendleft(again)
            elif ticket.job.kind == "sounds" and ticket.job.utterance not in lane.sounds:
                lane.sounds[ticket.job.utterance] = again
            elif ticket.job.kind != "sounds" and lane.interim is None and ticket.job.utterance > lane.last_final:
                lane.interim = again
            else:
                self.counters.coalesced += 1
                continue
            self.counters.retried += 1
        return given_up

    # -- what is there ------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Nothing queued, nothing in flight."""
        return all(lane.empty() for lane in self._lanes.values())

    def queued(self) -> int:
        """Jobs that wait."""
        return sum(1 for lane in self._lanes.values() for _ in lane.waiting())

    def waits_s(self, now: float, last_s: float) -> list[float]:
        """How long jobs waited that had no other of their stream before them: those that began in the last seconds,
        and those that wait now. What a stream keeps waiting behind its own jobs is not counted, nor are answer jobs,
        which have time, nor sounds jobs."""
        began = [wait for at, wait in self._waits if at >= now - last_s]
        heads = ((lane, head) for lane in self._lanes.values() if (head := lane.head()) and _is_caption(head.job))
        return began + [now - max(head.waiting_since, min(lane.free_since, now)) for lane, head in heads]

    def queued_finals(self, stream: str) -> int:
        """Finals of one stream that wait."""
        lane = self._lanes.get(stream)
        return len(lane.finals) if lane else 0

    def drain_all(self) -> list[Ticket]:
        """Empties the policy: every ticket that is still wanted, queued or in flight, in the order of urgency."""
        tickets = [ticket for lane in self._lanes.values() for ticket in _tickets(lane)]
        self._lanes.clear()
        return sorted(tickets, key=_urgency)

    # -- inside -------------------------------------------------------------------------------------------------

    def _queue_final(self, lane: _Lane, ticket: Ticket) -> None:
        if ticket.job.utterance <= lane.last_final:
            raise ValueError(f"utterance {ticket.job.utterance} is not newer than the last final {lane.last_final}")
        if len(lane.finals) >= self._max_finals:
            raise StreamQueueFullError(ticket.job.stream, self._max_finals)
        lane.finals.append(ticket)
        lane.last_final = ticket.job.utterance
        if lane.interim is not None and lane.interim.job.utterance <= lane.last_final:
            lane.interim = None
            self.counters.coalesced += 1

    def _queue_answer(self, lane: _Lane, ticket: Ticket) -> None:
        if len(lane.answers) >= self._max_finals:
            raise StreamQueueFullError(ticket.job.stream, self._max_finals)
        lane.answers.append(ticket)

    def _queue_sounds(self, lane: _Lane, ticket: Ticket) -> None:
        utterance = ticket.job.utterance
        if (queued := lane.sounds.get(utterance)) is not None:
            self.counters.coalesced += 1
            ticket = replace(ticket, deadline=min(ticket.deadline, queued.deadline), waiting_since=queued.waiting_since)
        elif len(lane.sounds) >= self._max_finals:
            raise StreamQueueFullError(ticket.job.stream, self._max_finals)
        lane.sounds[utterance] = ticket

    def _queue_interim(self, lane: _Lane, ticket: Ticket) -> None:
        if ticket.job.utterance <= lane.last_final:
            self.counters.coalesced += 1
            return
        if lane.interim is not None:
            self.counters.coalesced += 1
            # The place in the queue is kept: replacing must not push a stream behind its peers for ever.
            ticket = replace(
                ticket,
                deadline=min(ticket.deadline, lane.interim.deadline),
                waiting_since=lane.interim.waiting_since,
            )
        lane.interim = ticket

    def _starts_at(self, ready: list[Ticket]) -> float:
        """Waiting pays only where the last batch was larger than this one, and never for a final or a retry."""
        first = ready[0]
        urgent = first.job.kind == "final" or any(ticket.tries for ticket in ready)
        if urgent or len(ready) >= min(self._last_batch_size, self.max_batch):
            return first.submitted_at
        return min(ticket.submitted_at for ticket in ready) + self._max_wait_s

    def _start(self, ticket: Ticket, now: float) -> None:
        lane = self._lanes[ticket.job.stream]
        if ticket.job.kind == "final":
            lane.finals.popleft()
        elif ticket.job.kind == "answer":
            lane.answers.popleft()
        elif ticket.job.kind == "sounds":
            del lane.sounds[ticket.job.utterance]
        else:
            lane.interim = None
        if _is_caption(ticket.job):
            self._waits.append((now, now - max(ticket.waiting_since, lane.free_since)))
        lane.in_flight = ticket
        lane.cancelled_in_flight = False
        lane.free_since = math.inf
        self.counters.started += 1
        self.queue_delays_s.append(now - ticket.submitted_at)

    def _land(self, ticket: Ticket) -> _Lane | None:
        """Frees the stream of its job in flight. None where the job is not wanted any more."""
        lane = self._lanes.get(ticket.job.stream)
        if lane is None or lane.in_flight is None or lane.in_flight.serial != ticket.serial:
            return None
        lane.in_flight = None
        return None if lane.cancelled_in_flight else lane


def _is_caption(job: Job) -> bool:
    return job.kind not in ("answer", "sounds")


def _urgency(ticket: Ticket) -> tuple[bool, float, int]:
    return (ticket.job.kind != "final", ticket.deadline, ticket.serial)


def _tickets(lane: _Lane) -> list[Ticket]:
    in_flight = None if lane.cancelled_in_flight else lane.in_flight
    return [*([in_flight] if in_flight is not None else []), *lane.waiting()]
