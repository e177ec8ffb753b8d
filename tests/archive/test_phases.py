from __future__ import annotations

import numpy as np
import pytest

from medpipe.archive.phases import agreement

EVEN = [0.0, 100.0, 200.0, 300.0]


def later(by_ms: float) -> list[float]:
    return [time + by_ms for time in EVEN]


@pytest.mark.parametrize(
    "times",
    [
        [EVEN, EVEN],
        [EVEN],
        [[5.0], [900.0]],
        [EVEN, later(50)],  # two places in a turn
        [later(75), EVEN, later(50), later(25)],  # four, in any order
        [EVEN, later(3)],
        [EVEN, [0.0, 120.0, 240.0, 360.0], [2.0, 91.0, 183.0, 272.0]],  # beats of other lengths
        [[10.0, 20.0, 70.0, 400.0]] * 3,  # frames of a dynamic PET get longer
    ],
)
def test_times_of_one_turn_and_of_beats_agree(times):
    assert agreement(times) == "agree"


@pytest.mark.parametrize(
    "times",
    [
        [EVEN, later(100)],
        [[0.0, 100.0], [100.0, 200.0]],
        [EVEN, EVEN, EVEN, later(-100)],
        [EVEN, [0.0, 200.0, 400.0, 600.0]],
        [EVEN, later(300)],
    ],
)
def test_times_at_another_rank_contradict(times):
    assert agreement(times) == "contradict"


@pytest.mark.parametrize(
    "times",
    [
        [EVEN, later(95)],  # two places take half a turn each
        [[0.0, 100.0, 300.0, 400.0], [0.0, 100.0, 200.0, 400.0]],  # another time is missing of each
        [EVEN, [0.0, 100.0, 250.0, 300.0]],
        [EVEN, later(1000)],
        [EVEN, later(-150)],
        [[0.0, 100.0], [0.0, 170.0]],
        [[25.0 * k for k in range(24)], [40.0 * k for k in range(24)]],  # heart beats of 600 and of 960 ms
    ],
)
def test_what_neither_agrees_nor_contradicts_is_doubtful(times):
    assert agreement(times) == "doubtful"


def test_many_beats_with_rounded_times_agree():
    rng = np.random.default_rng(1)
    lengths = rng.uniform(700, 900, 12)
    times = np.round(np.linspace(0, 0.97, 40) * lengths[:, None] + rng.uniform(0, 5, (12, 1)))
    assert agreement(times.tolist()) == "agree"
