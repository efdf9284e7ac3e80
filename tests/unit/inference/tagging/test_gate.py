"""The gate that wakes the encoder outside speech: by level, and by news."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from inference.tagging.gate import LISTEN_BLOCKS, RELISTEN_BLOCKS, RELISTEN_FOR, GateState, SoundGate

BLOCK = 8_000


def noise(level: int, seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-level, level + 1, BLOCK).astype(np.int16)


def hum(hertz: float) -> NDArray[np.int16]:
    return (3000 * np.sin(2 * np.pi * hertz * np.arange(BLOCK) / 16_000)).astype(np.int16)


def test_silence_and_the_noise_of_a_line_are_quiet() -> None:
    gate = SoundGate()
    assert gate.judge(np.zeros(BLOCK, np.int16)) == "quiet"
    assert gate.judge(noise(40)) == "quiet"


def test_a_short_sound_in_a_quiet_block_is_heard() -> None:
    pcm = noise(10)
    pcm[4000:4640] = noise(3000)[:640]
    assert SoundGate().judge(pcm) == "active"


def test_what_goes_on_unchanged_is_heard_for_a_while_and_then_now_and_then() -> None:
    gate = SoundGate()
    verdicts = [gate.judge(noise(2000, seed)) for seed in range(LISTEN_BLOCKS + 3 * RELISTEN_BLOCKS)]
    assert verdicts[:LISTEN_BLOCKS] == ["active"] * LISTEN_BLOCKS
    assert verdicts[LISTEN_BLOCKS:].count("active") == 3 * RELISTEN_FOR


def test_a_change_of_the_spectrum_wakes_it_at_once() -> None:
    gate = SoundGate()
    for _ in range(20):
        verdict = gate.judge(hum(300))
    assert verdict == "steady"
    assert gate.judge(hum(1200)) == "active"


def test_a_restored_gate_goes_on_the_same() -> None:
    blocks = [noise(2000, seed) for seed in range(12)] + [hum(500)] * 12
    whole, cut = SoundGate(), SoundGate()
    for index, pcm in enumerate(blocks):
        if index == 7:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(cut.state()), type=GateState)
            cut = SoundGate()
            cut.restore(state)
        assert cut.judge(pcm) == whole.judge(pcm)


def test_a_damaged_state_is_refused() -> None:
    with pytest.raises(ValueError, match="bands"):
        SoundGate().restore(GateState([1.0], 0))
