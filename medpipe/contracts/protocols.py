"""Protocols: what an op, a region source, an extractor, a scorer, a store must offer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from medpipe.types import Array, Column, Companions, Geometry, Region, Volume

Halo = tuple[int, int, int]
"""Voxels of context needed on each side along (z, y, x)."""


@runtime_checkable
class ImageOp(Protocol):
    """A frozen record of parameters that turns a volume into a volume."""

    name: ClassVar[str]
    version: ClassVar[int]

    def halo(self, geometry: Geometry) -> Halo | None:
        """Return the context each block needs, or None if it needs the whole volume."""

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes the call needs beside its input."""

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:
        """Return a new volume; never write to the input."""


@runtime_checkable
class ByPlanes(Protocol):
    """An image op with a halo that can make a part of its result from the whole volume; it changes voxels alone."""

    def planes(self, volume: Volume, first: int, last: int) -> Array:
        """Return planes `first` to `last` - 1 of what it makes of a volume (z, y, x), to the last bit."""


@runtime_checkable
class TakesOnDevice(Protocol):
    """An op whose call takes another amount of memory on a device than on the host."""

    def device_memory(self, geometry: Geometry) -> int:
        """Return the peak bytes of the device that the call needs beside its input."""


@runtime_checkable
class Carrier(Protocol):
    """An image op that moves voxels to another grid and takes regions with them."""

    def carry(self, mask: Array, volume: Volume) -> Array:
        """Return a mask on the grid of a volume (whose data is not looked at) on that of the op's result."""


@runtime_checkable
class UsesPadding(Protocol):
    """An op whose result may depend on what a header calls padding, so that it enters the keys of its products."""

    @property
    def uses_padding(self) -> bool:
        """Whether it does."""


@runtime_checkable
class RegionSource(Protocol):
    """A frozen record of parameters that finds regions in a volume or its companions.

    ``uses_companions`` tells whether the result depends on the companions, so that their
    content enters the keys of only those regions.
    """

    @property
    def name(self) -> str:
        """Name it is registered under, or that a recipe gives its regions."""

    @property
    def version(self) -> int:
        """Raised with every change of result."""

    @property
    def uses_companions(self) -> bool:
        """Whether it looks at companions."""

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes the call needs beside its input."""

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:
        """Return the regions found, perhaps none."""


@runtime_checkable
class RegionStep(Protocol):
    """A frozen record of parameters that turns a region into another one on the same grid."""

    name: ClassVar[str]
    version: ClassVar[int]

    def reach(self, geometry: Geometry) -> Halo | None:
        """Return how far beyond the region's box the step may look or go, or None if it needs the whole grid."""

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes the call needs beside its input."""

    def __call__(self, mask: Array, geometry: Geometry) -> Array:
        """Return a new mask, bool (z, y, x), perhaps empty; never write to the input."""


@runtime_checkable
class Extractor(Protocol):
    """A frozen record of parameters that measures a region of a volume.

    ``discretisation`` and ``compliance`` go into the feature dictionary: how grey levels are
    made, and whether the settings keep to IBSI (``ibsi``, ``deviates`` or ``none``).
    """

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def discretisation(self) -> str:
        """How grey levels are made, in a few words; empty where none are."""

    @property
    def compliance(self) -> str:
        """``ibsi``, ``deviates`` or ``none``."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of the result, known before any data is."""

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes the call needs beside its input."""

    def __call__(self, volume: Volume, region: Region) -> Mapping[str, float]:
        """Return a value (NaN where undefined, never infinite) for every column."""


@runtime_checkable
class Perturbation(Protocol):
    """A frozen record of parameters that makes of an image and its regions what they might have been."""

    name: ClassVar[str]
    version: ClassVar[int]

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes the call needs beside its input, what it returns included."""

    def __call__(self, volume: Volume, regions: tuple[Region, ...], *, seed: str) -> tuple[Volume, tuple[Region, ...]]:
        """Return both as they might have been, on their grid; the same for a seed, whatever other regions there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreInput:
    """One input of a model: where its number comes from.

    Attributes
    ----------
    region, image, extraction, column : str
        Place of the number in the ``features`` table.
    """

    region: str
    image: str
    extraction: str
    column: str


@runtime_checkable
class Scorer(Protocol):
    """A packaged model that scores by the names of its inputs."""

    name: str
    digest: str
    inputs: Sequence[ScoreInput]

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return ``scores`` records (without identities) for the feature rows of one case.

        Each row has ``region``, ``label``, ``image``, ``extraction``, ``extraction_digest`` and
        ``values`` (column to number or None).
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something a source offers: a file, or a member of an archive file.

    Attributes
    ----------
    path : str
        Path relative to the source's root (POSIX separators); private.
    size : int
        Bytes.
    version : str
        A hint that the content changed: size, mtime, inode or an ETag, as one string.
    problem : str or None
        Code of :mod:`medpipe.reasons` if the item must not be opened (a symlink, a FIFO).
    """

    path: str
    size: int
    version: str
    problem: str | None = None


class Source(Protocol):
    """An archive: something that lists items and opens them."""

    def scan(self) -> Iterator[Item]:
        """Yield every item once, in a stable order."""

    def open(self, path: str) -> bytes:
        """Return an item's bytes; raises ``Rejected`` if it is gone or is no regular file."""


class Store(Protocol):
    """Where immutable things live: conditional put, never rename, in the protocol.

    Paths are relative, made by ``lake/layout.py`` alone.
    """

    def get(self, path: str) -> bytes:
        """Return an object's bytes; raises ``FileNotFoundError``."""

    def exists(self, path: str) -> bool:
        """Tell whether an object or folder is there."""

    def list(self, prefix: str) -> Iterable[str]:
        """Yield the paths of objects below a prefix, sorted."""

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write an object durably unless it is there; tell whether this call wrote it."""

    def swap_pointer(self, path: str, data: bytes) -> None:
        """Replace a small object atomically and durably."""
