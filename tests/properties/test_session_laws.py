"""The laws of a session, whatever happens to its connections, gateways and store: the published client's core, whole
gateways and a store that fails, driven through random losses in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tympan_client.events import Gap, MarkerReached, Speech, Summary, TranscriptUpdate
from tympan_client.options import InterimPolicy

from session_store.store import Limits
from tests.support.unruly_store import UnrulyStore
from tests.support.virtual_time import run_in_virtual_time
from tests.support.worlds import SEEN_S, Gateway, Listener, Wire, converse, noise

RATE = 16_000


@dataclass
class World:
    """What there is when the session is over."""

    listener: Listener
    store: UnrulyStore
    samples: NDArray[np.int16]
    """(n, channels)"""
    session: str


Disturb = Callable[[Random, UnrulyStore, list[Gateway], Callable[[], Wire]], Any]


def run(seed: int, seconds: float, interim: InterimPolicy, channels: int, disturb: Disturb) -> World:
    """One session: noise, markers and `finalize` as the seed says, in real time; the same ones whatever disturbs it."""
    plan, chance = Random(seed), Random(seed + 1)
    samples = np.stack([noise(plan, seconds) for _ in range(channels)], axis=1)
    cuts = sorted({*(plan.randrange(len(samples)) for _ in range(round(seconds * 5))), len(samples)})
    commands = {cut: plan.choice(("marker", "finalize", "nothing", "nothing")) for cut in cuts}
    listener = Listener(interim, channels)

    async def speak() -> None:
        await listener.opened.wait()
        at = 0
        for cut in cuts:
            await asyncio.sleep((cut - at) / RATE)
            listener.protocol.audio(samples[at:cut].astype("<i2").tobytes())
            at = cut
            if commands[cut] == "marker":
                listener.protocol.marker(str(cut))
            if commands[cut] == "finalize":
                listener.protocol.finalize()
        listener.protocol.stop()

    async def main() -> World:
        store = UnrulyStore(Limits(ttl_s=600.0))
        gateways = [Gateway(store) for _ in range(2)]
        for gateway in gateways:
            await gateway.start()
        await converse(listener, gateways, chance, speak, lambda newest: disturb(chance, store, gateways, newest))
        store.mend()
        store.latency_s, store.unanswered = 0.0, 0
        for gateway in gateways:
            await gateway.stop()
        assert listener.protocol.ready is not None
        return World(listener, store, samples, listener.protocol.ready.session)

    return run_in_virtual_time(main())


async def nothing(chance: Random, store: UnrulyStore, gateways: list[Gateway], newest: Callable[[], Wire]) -> None:
    """The session that the others are compared with."""


def losses(pauses: list[float], kinds: list[str]) -> Disturb:
    """One after the other, each after a pause."""

    async def disturb(chance: Random, store: UnrulyStore, gateways: list[Gateway], newest: Callable[[], Wire]) -> None:
        under_way: set[asyncio.Task[None]] = set()
        for pause, kind in zip(pauses, kinds, strict=False):
            await asyncio.sleep(pause)
            match kind:
                case "cut":
                    under_way.add(asyncio.create_task(newest().cut(chance.choice(SEEN_S))))
                case "gateway":
                    gateway = chance.choice(gateways)
                    lost = newest()._service is gateway.service
                    await gateway.lose()
                    if lost:
                        await newest().cut(0.0, lost=True)
                case "worker":
                    for gateway in gateways:
                        engine: Any = gateway.service._fleet._dispatchers[0]._engine
                        engine.lose_worker()
                case "slow":
                    store.latency_s = chance.choice((0.0, 0.05, 0.4))
                case "away":
                    store.fail()
                case "back":
                    store.mend()
                case "unanswered":
                    store.unanswered = chance.randrange(1, 4)
        store.mend()
        await asyncio.gather(*under_way)

    return disturb


def finals(world: World) -> list[tuple[Any, ...]]:
    """Of which each utterance has one."""
    said = [event for event in world.listener.events if isinstance(event, TranscriptUpdate) and event.final]
    assert len({final.utterance for final in said}) == len(said)
    return sorted(
        (final.utterance, final.text, *((word.text, word.start_ms, word.end_ms) for word in final.words))
        for final in said
    )


def told(world: World) -> Counter[tuple[Any, ...]]:
    """What else an application is told of the audio."""
    counter: Counter[tuple[Any, ...]] = Counter()
    for event in world.listener.events:
        match event:
            case Speech():
                counter[event.state, event.utterance, event.at_ms, event.rule] += 1
            case MarkerReached():
                counter["marker", event.id, event.sample] += 1
            case Gap():
                counter["gap", event.from_sample, event.to_sample, event.reason] += 1
    return counter


def check_order(world: World) -> None:
    """Each numbered message once, in order; the summary is the last one."""
    numbers = [event.seq for event in world.listener.events if getattr(event, "seq", -1) > 0]
    assert numbers == sorted(set(numbers))
    assert isinstance(world.listener.events[-1], Summary)


def check_word_ids(world: World) -> None:
    """No id means words of two utterances."""
    utterances: dict[int, int] = {}
    for event in world.listener.events:
        if isinstance(event, TranscriptUpdate):
            for word in event.words:
                assert utterances.setdefault(word.id, event.utterance) == event.utterance


def check_stable_words(world: World) -> None:
    """While its utterance is open a stable word stays, with its id; and no id means two words."""
    stable: dict[int, list[tuple[int, str]]] = {}
    texts: dict[int, str] = {}
    for event in world.listener.events:
        if not isinstance(event, TranscriptUpdate):
            continue
        before = stable.setdefault(event.utterance, [])
        kept = before[: event.from_word]
        words = [(word.id, word.text) for word in event.words if word.state == "stable"]
        if not event.final:
            assert (kept + words)[: len(before)] == before
            stable[event.utterance] = kept + words
        for word in event.words:
            if word.state != "tentative":
                assert texts.setdefault(word.id, word.text) == word.text


def check_audio(world: World) -> None:
    """The store has all that the client has forgotten, each sample at its place, and the whole was heard once."""
    for channel, tail in world.store._sessions[world.session].tails.items():
        assert tail.end >= world.listener.protocol.unacknowledged.first_sample
        assert bytes(tail.pcm) == world.samples[tail.start : tail.end, channel].astype("<i2").tobytes()
    (summary,) = [event for event in world.listener.events if isinstance(event, Summary)]
    assert summary.audio_ms == len(world.samples) * 1000 // RATE
    assert summary.gaps == 0


PAUSES = st.lists(st.floats(0.05, 2.5), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    seconds=st.floats(1.0, 12.0),
    interim=st.sampled_from(["stable", "off"]),
    channels=st.sampled_from([1, 2]),
    pauses=PAUSES,
    kinds=st.lists(st.sampled_from(["cut", "cut", "gateway", "worker", "slow"]), min_size=8, max_size=8),
)
def test_losses_of_connections_gateways_and_workers_change_nothing(
    seed: int, seconds: float, interim: InterimPolicy, channels: int, pauses: list[float], kinds: list[str]
) -> None:
    whole = run(seed, seconds, interim, channels, nothing)
    world = run(seed, seconds, interim, channels, losses(pauses, kinds))
    check_order(world)
    check_word_ids(world)
    check_stable_words(world)
    check_audio(world)
    assert finals(world) == finals(whole)
    assert told(world) == told(whole)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    seconds=st.floats(1.0, 12.0),
    pauses=PAUSES,
    kinds=st.lists(
        st.sampled_from(["cut", "gateway", "slow", "away", "away", "back", "unanswered"]), min_size=8, max_size=8
    ),
)
def test_with_a_store_that_fails_too_everything_is_told_once(
    seed: int, seconds: float, pauses: list[float], kinds: list[str]
) -> None:
    """What was said while the store was away is said again after a resume; the client tells its application once."""
    whole = run(seed, seconds, "stable", 1, nothing)
    world = run(seed, seconds, "stable", 1, losses(pauses, kinds))
    check_order(world)
    assert finals(world) == finals(whole)
    assert told(world) == told(whole)
    check_word_ids(world)
    (summary,) = [event for event in world.listener.events if isinstance(event, Summary)]
    assert (summary.audio_ms, summary.gaps) == (len(world.samples) * 1000 // RATE, 0)
