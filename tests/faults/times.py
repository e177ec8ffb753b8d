"""Time series whose images are told apart by measured times: triggers, and what may be wrong with them."""

from __future__ import annotations

import numpy as np

from tests.faults.edits import anywhere, planted, put
from tests.faults.registry import fault, sound
from tests.faults.series import Series
from tests.faults.verdicts import Found, Planted, harmless, is_volume, refused

_STEP_MS = 40.0


def _beats(series: Series, times_ms: np.ndarray) -> Series:
    """Return the series with times (times, places) of triggers, and nothing else that tells its images apart."""
    changed = series.changed()
    for dataset, time_ms in zip(changed.files, times_ms.ravel(), strict=True):
        put(dataset, {"TemporalPositionIdentifier": None, "InstanceNumber": None, "TriggerTime": f"{time_ms:.6g}"})
    return changed


def _even(series: Series) -> np.ndarray:
    """Return the same times for all places."""
    return np.repeat(_STEP_MS * np.arange(1, series.n_times + 1.0)[:, None], len(series), axis=1)


@sound("times of triggers alike at all places", "timed")
def alike(series: Series, rng: np.random.Generator) -> Planted:
    return planted(_beats(series, _even(series)), rng, harmless(series))


@sound("places imaged one after the other in every turn", "timed")
def in_turn(series: Series, rng: np.random.Generator) -> Planted:
    later = _STEP_MS * rng.permutation(len(series)) / len(series)
    return planted(_beats(series, _even(series) + later), rng, harmless(series))


@sound("heart beats of other lengths at other places", "timed")
def stretched(series: Series, rng: np.random.Generator) -> Planted:
    lengths = rng.uniform(1.0, 1.2, len(series))
    jitter = rng.uniform(-0.5, 0.5, (series.n_times, len(series)))
    return planted(_beats(series, _even(series) * lengths + jitter), rng, harmless(series))


@fault("the first time missing at one place, the last at another", "timed")
def shifted(series: Series, rng: np.random.Generator) -> Planted:
    times = _even(series)
    times[:, anywhere(series, rng)] += _STEP_MS
    return planted(_beats(series, times), rng, refused("E_AMBIGUOUS_4D"))


@fault("times of triggers that do not agree", "timed")
def disagreeing(series: Series, rng: np.random.Generator) -> Planted:
    times = _even(series)
    times[-1, anywhere(series, rng)] += _STEP_MS * (1.7 if series.n_times == 2 else 0.7)

    def check(found: Found) -> bool:
        told = [stack.code for stack in found.stacks] == ["W_TIMES"] and len(found.volumes) == 1
        return told and is_volume(*found.volumes[0], series)

    return planted(_beats(series, times), rng, check)
