"""The register of fault classes: a name, the series it can be planted in, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tests.faults.series import KINDS, Series, make_series, to_bytes
from tests.faults.verdicts import Planted, harmless

Plant = Callable[[Series, np.random.Generator], Planted]

STACKED = ("ct", "mr", "pet")
"""Kinds of series with a file for each slice and one volume."""


@dataclass(frozen=True)
class Fault:
    """A class of faults.

    Attributes
    ----------
    name : str
        What is wrong, in words.
    plant : callable
        From a sound series and a generator to files and what must be told.
    kinds : tuple of str
        Kinds of series it is planted in.
    is_harmless : bool
        Nothing is to be told: the volume must be the sound one.
    """

    name: str
    plant: Plant
    kinds: tuple[str, ...]
    is_harmless: bool

    def instance(self, number: int, seed: int) -> Planted:
        """Return an instance; the same numbers give the same files."""
        kind = self.kinds[number % len(self.kinds)]
        rng = np.random.default_rng([seed, number, sum(map(ord, self.name))])
        return self.plant(make_series(kind, int(rng.integers(1 << 30))), rng)


FAULTS: dict[str, Fault] = {}
"""All classes by name."""


def fault(name: str, *kinds: str) -> Callable[[Plant], Plant]:
    """Register a class of faults; without kinds it is planted in stacks of single slices."""
    return _register(name, kinds or STACKED, is_harmless=False)


def sound(name: str, *kinds: str) -> Callable[[Plant], Plant]:
    """Register a class of what looks wrong and changes nothing."""
    return _register(name, kinds or STACKED, is_harmless=True)


def _register(name: str, kinds: tuple[str, ...], *, is_harmless: bool) -> Callable[[Plant], Plant]:
    def add(plant: Plant) -> Plant:
        assert name not in FAULTS
        FAULTS[name] = Fault(name, plant, kinds, is_harmless)
        return plant

    return add


def clean(number: int, seed: int) -> Planted:
    """Return a sound series in a drawn order under drawn names."""
    rng = np.random.default_rng([seed, number])
    series = make_series(KINDS[number % len(KINDS)], int(rng.integers(1 << 30)))
    return Planted(named(series, rng), harmless(series))


def named(series: Series, rng: np.random.Generator) -> Mapping[str, bytes]:
    """Return the files under drawn names in a drawn order."""
    return {name: to_bytes(series.files[index]) for name, index in _names(len(series.files), rng)}


def _names(n: int, rng: np.random.Generator) -> list[tuple[str, int]]:
    letters = rng.permutation(1000)[:n]
    return [(f"IM{letter:04d}", int(index)) for letter, index in zip(letters, rng.permutation(n), strict=True)]
