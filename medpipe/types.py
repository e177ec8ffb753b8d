"""The nouns: geometry, volume, region.

Arrays are ``(z, y, x)`` with z ascending along the slice normal, optionally with one leading
axis ``t`` (time) or ``c`` (channel). Lengths are mm, world is DICOM patient LPS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from medpipe.bits import Bits
from medpipe.values import Display, RealWorldValues, SuvScales

Array = Any
"""A NumPy or CuPy array; kernels take the namespace from it."""

Kind = Literal["volume", "series4d", "mosaic", "enhanced", "single", "planar", "colour", "multiframe", "segmentation"]
"""What a stack of instances is; see ``volumes.kind`` in the table reference."""

Affine = tuple[float, ...]
"""16 numbers, row-major: voxel index (x, y, z, 1) to LPS mm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Where the voxels of an array are.

    Attributes
    ----------
    shape : tuple of int
        Shape of the array, ``(z, y, x)`` or with a leading ``t`` or ``c``.
    axes : {"zyx", "tzyx", "czyx"}
        Names of the axes of ``shape``.
    spacing_mm : (float, float, float) or None
        Step between voxel centres along (z, y, x); None where it is not known.
    affine_lps : tuple of 16 float or None
        Row-major, voxel index (x, y, z) to mm. The third column is the true step between
        slices, so it is sheared under gantry tilt. None for images without a position.
    slice_positions_mm : tuple of float or None
        Position of each slice along the normal, for stacks with uneven steps.
    frame_of_reference_key : str or None
        Pseudonym of the frame of reference; equal keys share a patient coordinate system.
    """

    shape: tuple[int, ...]
    axes: str = "zyx"
    spacing_mm: tuple[float, float, float] | None = None
    affine_lps: Affine | None = None
    slice_positions_mm: tuple[float, ...] | None = None
    frame_of_reference_key: str | None = None

    @property
    def spatial_shape(self) -> tuple[int, int, int]:
        """Shape of the last three axes (z, y, x)."""
        z, y, x = self.shape[-3:]
        return z, y, x

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel in mm³ (NaN where the spacing is not known)."""
        if self.spacing_mm is None:
            return math.nan
        z, y, x = self.spacing_mm
        return z * y * x

    @property
    def matrix(self) -> np.ndarray[Any, np.dtype[np.float64]] | None:
        """The affine as a 4x4 float64 array, or None."""
        if self.affine_lps is None:
            return None
        return np.array(self.affine_lps, dtype=np.float64).reshape(4, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """An array with its geometry, unit and modality.

    Attributes
    ----------
    data : array
        float32 (or the stored integer type before conversion) of ``geometry.shape``.
    geometry : Geometry
    unit : str
        ``HU``, ``BQML``, ``SUV``, ``g/mL``, ``cm2/mL``, ``normalized`` or ``arbitrary``.
    modality : str
        DICOM modality (``CT``, ``MR``, ``PT``, ...).
    verdict : str
        ``regular``, ``tilted``, ``uneven``, ``missing_slices``, ``single``, ``planar``, ...;
        ``straightened`` where an op interpolated it on a straight grid.
    suv : SuvScales or None
        For the values as they were read, of PET only.
    interpolated : tuple of int
        Slices that an op put where some were missing.
    padding : tuple of (float or None) or None
        Of an image as it was read: lowest and highest value that a header calls padding; a pair
        for each member where they differ. None without any.
    real_world : tuple of tuple of (RealWorldMap or RealWorldTable) or None
        Of an image as it was read, where an op asked for them: maps for all of it, or those of
        each member where they differ.
    quantity : str
        What the values measure, where the header says that they are a map of it (``ADC``, ``T1``,
        ``PHASE``, ...), or nothing.
    display : tuple of Display or None
        Of an image as it was read, where an op asked for it: one for all of it, or that of each
        member where they differ.
    synthetic : bool
        Whether the values are what a network made of an image.
    stored_reversed : bool
        Whether the file holds the slices against their normal, from the last to the first.
    """

    data: Array
    geometry: Geometry
    unit: str = "arbitrary"
    modality: str = "OT"
    verdict: str = "regular"
    suv: SuvScales | None = None
    interpolated: tuple[int, ...] = ()
    padding: tuple[float | None, ...] | None = None
    real_world: tuple[tuple[RealWorldValues, ...], ...] | None = None
    quantity: str = ""
    display: tuple[Display, ...] | None = None
    synthetic: bool = False
    stored_reversed: bool = False

    def with_data(self, data: Array, **changes: Any) -> Volume:
        """Return this volume with other voxels (and, where given, other fields).

        Values of another unit are none that ``suv`` and ``display`` were worked out for: they go with the unit.
        """
        if "unit" in changes:
            changes = {"suv": None, "display": None, **changes}
        return replace(self, data=data, **changes)


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class Region:
    """A region of interest on a volume's grid.

    Made of ``bits``, or of a whole ``mask``; held as bits on the host, since a structure set may
    bring dozens of regions on a large image.

    Attributes
    ----------
    bits : Bits
        The mask, of the shape of the volume's last three axes.
    name : str
        Closed name: an op's own (``body``) or a label mapped by the recipe (``gtv``) or
        ``roi_1``, ``roi_2``, ... where no rule maps it. Never free text from a header.
    label : int
        Number from 1 that tells regions of one source apart.
    source : str
        Name of the op or kind of object it came from (``body``, ``seg``, ``rtstruct``).
    code : str
        Why nothing could be drawn of a structure that an object names, or an empty string.
    threshold : float or None
        Share of the maximum from which values of a fractional segmentation are inside.
    flag : str
        Reason code that what is measured of it is flagged with, or an empty string.
    """

    bits: Bits
    name: str
    label: int = 1
    source: str = "op"
    code: str = ""
    threshold: float | None = None
    flag: str = ""

    def __init__(
        self,
        *,
        name: str,
        mask: Array | None = None,
        bits: Bits | None = None,
        label: int = 1,
        source: str = "op",
        code: str = "",
        threshold: float | None = None,
        flag: str = "",
    ) -> None:
        held = Bits.of(np.asarray(mask)) if bits is None else bits
        given = {"bits": held, "name": name, "label": label, "source": source, "code": code, "threshold": threshold}
        for field_name, value in {**given, "flag": flag}.items():
            object.__setattr__(self, field_name, value)

    @property
    def mask(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The whole mask, bool (z, y, x): made anew each time, one byte a voxel."""
        return self.bits.whole()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One feature column: what the number is.

    Attributes
    ----------
    name : str
        Column name; IBSI tags (``stat_mean``, ``cm_joint_max_3D_avg``) where one exists.
    family : str
        ``statistics``, ``morphology``, ``glcm``, ``lbp``, ...
    ibsi, alias : str
        IBSI code (``Q4LE``), and what pyradiomics calls it (``original_firstorder_Mean``), or empty strings.
    unit : str
        Physical unit: ``mm3``, ``image`` (unit of the image), ``1`` (none), ...
    aggregation : str
        ``3D``, ``3D_avg``, ... or an empty string.
    low, high : float
        Range a defined value can have; NaN where unbounded.
    filter, filter_ibsi : str
        Of what is measured on the response map of a filter: its tag and its IBSI code; empty for the image itself.
    """

    name: str
    family: str
    alias: str = ""
    ibsi: str = ""
    unit: str = "1"
    aggregation: str = ""
    low: float = math.nan
    high: float = math.nan
    filter: str = ""
    filter_ibsi: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Values of a fractional segment within a box of the image's grid.

    Attributes
    ----------
    values : array of uint8 or uint16, (z, y, x)
        As stored.
    start : (int, int, int)
        Place of the first value on the grid.
    maximum : int
        The value that stands for 1.
    """

    values: np.ndarray[Any, Any]
    start: tuple[int, int, int]
    maximum: int

    def at_least(self, threshold: float, shape: tuple[int, int, int]) -> Bits:
        """Return where the share is at least a threshold, on a grid of a shape."""
        return Bits.of(self.values >= threshold * self.maximum, start=self.start, shape=shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What an object says of one of its regions beside its name.

    Attributes
    ----------
    codes : tuple of str
        Coded concepts of what is shown, each as ``SCHEME:VALUE`` (``SCT:27925004``).
    number : int
        Segment number or ROI number.
    resampled : bool
        Whether the object lies on another grid than the image.
    is_newest : bool
        Whether the object says it was made last of its kind; of equal ones the last in order.
    shares : Shares or None
        Of a fractional segment.
    """

    codes: tuple[str, ...] = ()
    number: int = 0
    resampled: bool = False
    is_newest: bool = True
    shares: Shares | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Companions:
    """What a case may look at beside its primary volume.

    Attributes
    ----------
    regions : tuple of Region
        Regions read from DICOM SEG and RTSTRUCT, already on the primary's grid. ``name`` is
        ``roi_N`` here; those of which nothing could be drawn have a ``code`` and come last.
    original_names : mapping of str to str
        Region name to the text found in the object, for matching inside the case only;
        never stored, never logged.
    problems : tuple of str
        Reason codes of the objects that could not be used.
    structures : mapping of str to Structure
        Region name to what else the object says of it.
    """

    regions: tuple[Region, ...] = ()
    original_names: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    structures: Mapping[str, Structure] = field(default_factory=dict)
