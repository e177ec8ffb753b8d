"""Draws of perturbations: each from a stream of its own, which its place in the work names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medpipe.bits import Bits, Box
from medpipe.errors import ConfigError
from medpipe.keys import digest
from medpipe.types import Region

Bools = NDArray[np.bool_]


def stream(seed: str, *place: str | int) -> np.random.Generator:
    """Return the generator for a seed and a place: the same one wherever and whenever it is asked for."""
    return np.random.Generator(np.random.PCG64(int(digest([seed, *place]), 16)))


def stream_of(seed: str, region: Region) -> np.random.Generator:
    """Return the generator for a region, which does not depend on what other regions there are."""
    return stream(seed, region.source, region.name, region.label)


def check_ends(op: str, field: str, ends: tuple[float, float]) -> None:
    """Refuse ends of which the first is above the second."""
    if ends[0] > ends[1]:
        raise ConfigError(f"{op}.{field}: its lower end must not be above its upper end")


def with_part(region: Region, part: Bools, box: Box) -> Region:
    """Return a region with what a part of its mask has become, outside of which nothing is set."""
    z, y, x = (side.start for side in box)
    return replace(region, bits=Bits.of(part, start=(z, y, x), shape=region.bits.shape))
