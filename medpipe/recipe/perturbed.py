"""Perturbations of a route: what is measured once more, as it might have been."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from medpipe.contracts.protocols import Perturbation
from medpipe.errors import ConfigError
from medpipe.keys import digest
from medpipe.ops.registry import make, spec_of
from medpipe.recipe.shape import PerturbTable
from medpipe.types import Region, Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbed:
    """Steps that make an image and its regions what they might have been, and how often.

    Attributes
    ----------
    name : str
        Value of ``perturbed.perturbation``.
    times : int
    features : tuple of str
        Extractions that are measured so; all of the route if there are none.
    steps : tuple of Perturbation
        In order.
    """

    name: str
    times: int
    features: tuple[str, ...]
    steps: tuple[Perturbation, ...]

    def takes(self, extraction: str) -> bool:
        """Tell whether an extraction of the route is measured so."""
        return not self.features or extraction in self.features

    def spec(self) -> dict[str, Any]:
        """Return what the rows depend on beside the extraction: adding an extraction changes no rows of others."""
        return {"name": self.name, "times": self.times, "steps": [spec_of(step) for step in self.steps]}

    def route_spec(self) -> dict[str, Any]:
        """Return what the route depends on."""
        return {**self.spec(), "features": sorted(self.features)}

    def __call__(
        self, volume: Volume, regions: tuple[Region, ...], *, content: str, number: int
    ) -> tuple[Volume, tuple[Region, ...]]:
        """Return an image and its regions perturbed for the time of a number.

        Parameters
        ----------
        volume : Volume
        regions : tuple of Region
            One that is all of the image stays that: nobody drew it. Those of which nothing could be drawn
            are left out.
        content : str
            Digest of the volume as it was read. Draws come from it, from the steps so far and the
            number, and from nothing else: another extraction sees the same images, and another run too.
        number : int
            From 1.

        Raises
        ------
        Rejected
            With the code of a step that cannot use the image.
        """
        found = tuple(region for region in regions if not region.code)
        drawn = tuple(region for region in found if not _is_all(region))
        for place, step in enumerate(self.steps):
            done = [spec_of(before) for before in self.steps[: place + 1]]
            volume, drawn = step(volume, drawn, seed=digest(["perturb", content, done, number]))
        redrawn = iter(drawn)
        return volume, tuple(region if _is_all(region) else next(redrawn) for region in found)


def _is_all(region: Region) -> bool:
    return region.bits.n_voxels == math.prod(region.bits.shape)


def parse_perturbed(
    tables: Iterable[PerturbTable], where: str, *, extractions: Collection[str]
) -> tuple[Perturbed, ...]:
    """Return checked perturbations.

    Raises
    ------
    ConfigError
        With the path of the first field that is wrong, such as ``route.0.perturb.1.steps.0.op``.
    """
    found = tuple(_perturbed(table, f"{where}.{place}") for place, table in enumerate(tables))
    names = [one.name for one in found]
    if len(set(names)) != len(names):
        raise ConfigError(f"{where}: two perturbations bear one name")
    for place, one in enumerate(found):
        unknown = sorted(set(one.features) - set(extractions))
        if unknown:
            there = ", ".join(sorted(extractions)) or "none"
            raise ConfigError(f"{where}.{place}.features: the route has no extraction {unknown[0]!r} ({there})")
        if not extractions:
            raise ConfigError(f"{where}.{place}: the route has no features to measure")
    return found


def _perturbed(table: PerturbTable, where: str) -> Perturbed:
    steps = tuple(make("perturb", step, f"{where}.steps.{place}") for place, step in enumerate(table.steps))
    return Perturbed(name=table.name, times=table.times, features=tuple(table.features), steps=steps)
