"""Protocols of companion images and of views: what lies how to a case's image, and what shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from medpipe.types import Affine, Geometry, Region, Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """How a companion image lies to the image of a case.

    Attributes
    ----------
    matrix : tuple of 16 float or None
        Row-major, LPS mm of the case's image to LPS mm of the companion image. None if there is none.
    method : {"frame", "rigid"}
        Taken as they lie in one frame of reference, or registered.
    code : str
        Why it is not to be used, or an empty string.
    overlap : float or None
        Share of the smaller of both images that lies within the other.
    rotation_deg, translation_mm : float or None
        Angle, and by how far the centre of the case's image moves.
    metric_before, metric_after : float or None
        Mutual information in nats where registration began, and where it ended.
    inverse_mm : float or None
        Farthest that a corner of the case's image comes to lie from itself, there by this
        registration and back by that of the images the other way round.
    """

    matrix: Affine | None
    method: str
    code: str = ""
    overlap: float | None = None
    rotation_deg: float | None = None
    translation_mm: float | None = None
    metric_before: float | None = None
    metric_after: float | None = None
    inverse_mm: float | None = None


@runtime_checkable
class Aligner(Protocol):
    """A frozen record of parameters that tells how two images lie to each other.

    One that goes by geometry alone says ``uses_voxels = False``: it may be given voxels on a device.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    def memory(self, geometry: Geometry, other: Geometry) -> int:
        """Return the peak bytes the call needs beside both images."""

    def __call__(self, image: Volume, other: Volume) -> Alignment:
        """Return how the companion image `other` lies to the case's `image`, both on the host.

        Raises
        ------
        Rejected
            If either has no place that could be told.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewFile:
    """A file that a view makes.

    Attributes
    ----------
    name : str
        Of the file, with its ending.
    data : bytes
    region : Region or None
        What it shows, if that is a region.
    facts : mapping
        Sizes that the table ``views`` has columns for.
    """

    name: str
    data: bytes
    region: Region | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class View(Protocol):
    """A frozen record of parameters that makes pictures or surfaces of an image or its regions.

    ``uses_regions`` tells whether it shows regions, of which it gets those found on the original
    image; else it gets the image.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    uses_regions: ClassVar[bool]

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes the call needs beside its input."""

    def __call__(self, volume: Volume, regions: Sequence[Region]) -> Iterable[ViewFile]:
        """Return the files, perhaps made one by one.

        Their names differ, and the same input gives the same bytes on every host.

        Raises
        ------
        Rejected
            If the image or its place is of no use.
        """
