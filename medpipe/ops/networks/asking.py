"""What ops that ask a network share: which images it is for, and how a tile is made ready."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medpipe.contracts.networks import Network, NetworkFacts, NetworkKind, OpensNetwork, Tile
from medpipe.errors import ConfigError, Rejected
from medpipe.types import Array, Volume
from medpipe.xp import backend_of

Floats = NDArray[np.float32]


_ROUNDING = 1e-6
"""Share by which a spacing may differ because it was written as a decimal number."""


class Scale(NamedTuple):
    """A network is given (value - center) / width."""

    center: np.float32
    width: np.float32


def opened(opens: OpensNetwork | None, *, kind: NetworkKind, numbers: int = 0) -> Network:
    """Return the network an op is to ask.

    Raises
    ------
    ConfigError
        If nobody has bound one to the op, or it is not of the kind and size that the recipe's lock states.
    """
    if opens is None:
        raise ConfigError("model: a name means a network of a lake once a run is planned")
    network = opens()
    if (network.facts.kind, network.facts.numbers) != (kind, numbers):
        raise ConfigError("model: its card is not what the lock of the recipe says")
    return network


def refuse_other(volume: Volume, facts: NetworkFacts) -> None:
    """Refuse an image that a network is not for.

    Raises
    ------
    Rejected
        ``E_SPACING`` if the network asks for a spacing and none is known, ``E_NETWORK_INPUT`` for another modality,
        unit or spacing, and for uneven slices where their distance counts.
    """
    geometry = volume.geometry
    is_other = (facts.modalities and volume.modality not in facts.modalities) or facts.unit not in ("", volume.unit)
    if is_other:
        raise Rejected("E_NETWORK_INPUT")
    if not any(facts.spacing_mm):
        return
    if geometry.spacing_mm is None:
        raise Rejected("E_SPACING")
    differs = any(
        wanted and abs(found - wanted) > (facts.spacing_tolerance + _ROUNDING) * wanted
        for wanted, found in zip(facts.spacing_mm, geometry.spacing_mm, strict=True)
    )
    if differs or (facts.spacing_mm[0] and geometry.slice_positions_mm is not None):
        raise Rejected("E_NETWORK_INPUT")


def scale_of(x: Array, facts: NetworkFacts) -> Scale:
    """Return how the values of an image are scaled.

    Parameters
    ----------
    x : array (z, y, x)
        The whole image, where it is; its values count as float32.
    facts : NetworkFacts

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if the scale is the image's own and it is constant, or nothing in it is finite.
    """
    if facts.scale == "fixed":
        return Scale(np.float32(facts.center), np.float32(facts.width))
    count = sum(int(backend_of(x).xp.isfinite(plane).sum()) for plane in x)
    if not count:
        raise Rejected("E_CONSTANT")
    mean = sum(float(plane.sum()) for plane in _finite_planes(x, facts)) / count
    variance = sum(float(((plane - mean) ** 2).sum()) for plane in _finite_planes(x, facts)) / count
    scale = Scale(np.float32(mean), np.float32(np.sqrt(variance)))
    if not scale.width > 0 or not np.isfinite(scale.width):
        raise Rejected("E_CONSTANT")
    return scale


def _finite_planes(x: Array, facts: NetworkFacts) -> Iterator[Array]:
    xp = backend_of(x).xp
    for plane in x:
        narrow = plane.astype(xp.float32, copy=False)
        yield _limited(narrow[xp.isfinite(narrow)], facts).astype(xp.float64)


def ready(tile: Floats, facts: NetworkFacts, scale: Scale) -> Tile:
    """Return a tile as a network is given it; voxels that are not finite have the value that stands for them.

    Parameters
    ----------
    tile : array of float32 (z, y, x)
    facts : NetworkFacts
    scale : Scale

    Returns
    -------
    array of float32
        Of ``facts.tile_shape``.
    """
    whole = np.where(np.isfinite(tile), tile, np.float32(facts.fill))
    scaled = (_limited(whole, facts) - scale.center) / scale.width
    return np.ascontiguousarray(np.broadcast_to(scaled.reshape(1, 1, *facts.tile_shape[2:]), facts.tile_shape))


def _limited(values: Array, facts: NetworkFacts) -> Array:
    if not facts.limits:
        return values
    low, high = facts.limits
    return backend_of(values).xp.clip(values, np.float32(low), np.float32(high))
