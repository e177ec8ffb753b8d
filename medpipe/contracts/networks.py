"""What a packaged network says of itself, and how it is called: ops know no more of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, Protocol

import numpy as np

from medpipe.errors import ConfigError

NetworkKind = Literal["image", "encoder"]
"""From a tile to a tile of the same shape, or from a tile to a row of numbers."""

Layout = Literal["NCZYX", "NCYX"]
"""Axes of what goes in and of what an image network gives; NCYX takes one plane."""

MAX_TILE_VOXELS = 1 << 24
MAX_CHANNELS = 16
MAX_NUMBERS = 4096
"""Most numbers an encoder may give."""

MAX_OVERLAP = 0.9

_LEAST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
"""Tiles are scaled in float32: beyond these, every one of them would be refused for what becomes of it."""

Tile = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFacts:
    """How images are made ready for a network, and what its answers are.

    Attributes
    ----------
    kind : {"image", "encoder"}
    input, output : str
        Names of the tensors.
    layout : {"NCZYX", "NCYX"}
    channels : int
        Of what goes in; each is the same image.
    patch : (int, int, int)
        Voxels of a tile along (z, y, x).
    overlap : float
        Share of a tile that the next one covers too.
    pad : {"edge", "constant"}
        What lies beyond an image that is smaller than a tile: its border, or `fill`.
    fill : float
        Value of what is missing, in the unit of the image.
    modalities : tuple of str
        DICOM modalities the network is for; empty for any.
    unit : str
        Unit of the images the network is for; empty for any.
    spacing_mm : tuple of float
        Spacing along (z, y, x) the network is for; 0 for any along that axis, empty for any.
    spacing_tolerance : float
        Share by which an image's spacing may differ.
    limits : tuple of float
        Values are brought between these two first; empty for none.
    scale : {"fixed", "image"}
        The network is given (value - center) / width; with ``image`` these two are mean and standard
        deviation of each image's own values.
    center, width : float
    result_unit : str
        Unit of an image network's result; empty for that of the image, and the scale is undone.
    result_center, result_width : float
        Where `result_unit` is given, the result is answer * result_width + result_center.
    numbers : int
        How many an encoder gives; 0 for an image network.

    Raises
    ------
    ConfigError
        If they contradict each other or are beyond limits.
    """

    kind: NetworkKind
    patch: tuple[int, ...]
    input: str = ""
    output: str = ""
    layout: Layout = "NCZYX"
    channels: int = 1
    overlap: float = 0.5
    pad: Literal["edge", "constant"] = "edge"
    fill: float = 0.0
    modalities: tuple[str, ...] = ()
    unit: str = ""
    spacing_mm: tuple[float, ...] = ()
    spacing_tolerance: float = 0.05
    limits: tuple[float, ...] = ()
    scale: Literal["fixed", "image"] = "fixed"
    center: float = 0.0
    width: float = 1.0
    result_unit: str = ""
    result_center: float = 0.0
    result_width: float = 1.0
    numbers: int = 0

    def __post_init__(self) -> None:
        for name, is_right, must in self._rules():
            if not is_right:
                raise ConfigError(f"{name}: {must}")

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """Shape of what the network is given: one tile with its channels."""
        return (1, self.channels, *(self.patch if self.layout == "NCZYX" else self.patch[1:]))

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """Shape of what it has to give."""
        return (1, self.numbers) if self.kind == "encoder" else (1, 1, *self.tile_shape[2:])

    def _places(self) -> tuple[tuple[str, float], ...]:
        return ("fill", self.fill), ("center", self.center), ("result_center", self.result_center)

    def _rules(self) -> list[tuple[str, bool, str]]:
        is_encoder = self.kind == "encoder"
        planes = self.layout == "NCZYX" or self.patch[:1] == (1,)
        sizes = len(self.patch) == 3 and min(self.patch) >= 1 and prod(self.patch) <= MAX_TILE_VOXELS
        spacing = len(self.spacing_mm) in (0, 3) and all(0 <= one <= 1000 for one in self.spacing_mm)
        limits = not self.limits or (len(self.limits) == 2 and self.limits[0] < self.limits[1])
        return [
            ("patch", sizes, f"three sizes along (z, y, x), at most {MAX_TILE_VOXELS} voxels in all"),
            ("patch", planes, "a network of the layout NCYX takes one plane: [1, y, x]"),
            ("channels", 1 <= self.channels <= MAX_CHANNELS, f"1 to {MAX_CHANNELS}"),
            ("overlap", 0 <= self.overlap <= MAX_OVERLAP, f"a share of a tile, at most {MAX_OVERLAP}"),
            ("spacing_mm", spacing, "three lengths along (z, y, x), 0 for any, or none"),
            ("spacing_tolerance", 0 <= self.spacing_tolerance <= 1, "a share from 0 to 1"),
            ("limits", limits, "two values, the first below the second, or none"),
            ("width", _LEAST <= self.width <= _LARGEST, "must be above 0, and a number of float32"),
            ("result_width", _LEAST <= abs(self.result_width) <= _LARGEST, "must not be 0, and a number of float32"),
            *((name, abs(value) <= _LARGEST, "must be a number of float32") for name, value in self._places()),
            ("result_unit", not (is_encoder and self.result_unit), "an encoder gives numbers without a unit"),
            ("numbers", (1 <= self.numbers <= MAX_NUMBERS) == is_encoder, f"1 to {MAX_NUMBERS} of an encoder"),
        ]


class Network(Protocol):
    """A packaged network, ready to be asked."""

    @property
    def facts(self) -> NetworkFacts:
        """What its card says."""

    def __call__(self, tile: Tile) -> Tile:
        """Return the answer to one tile, float32 of ``facts.answer_shape``.

        Raises
        ------
        Rejected
            ``E_NETWORK`` if it fails, or gives another shape or values that are not finite.
        """


OpensNetwork = Callable[[], Network]
"""Opens a network when it is first needed, and gives the same one each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPin:
    """A network that a recipe's reference means.

    Attributes
    ----------
    name, digest : str
    kind : {"image", "encoder"}
    numbers : int
        See :class:`NetworkFacts`.
    memory_mb : int
        What loading and asking it takes, in MiB.
    """

    name: str
    digest: str
    kind: NetworkKind
    numbers: int
    memory_mb: int
