"""The features of pyradiomics, by its rules and to its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import ConfigError, Rejected
from medpipe.kernels import compat_texture, pairs
from medpipe.kernels.directions import Norm, directions_at, lengths_mm
from medpipe.kernels.ranks import MAX_LEVELS, Directions, Ranks, ranks_of
from medpipe.ops import roi
from medpipe.ops.corner_grid import Interpolator
from medpipe.ops.itk import LIBRARY_BYTES
from medpipe.ops.parameters import parameter
from medpipe.ops.pyradiomics_columns import DIRECTIONAL, FEATURES, TEXTURE, Family, Names, column_name, columns_of
from medpipe.ops.pyradiomics_memory import region_bytes
from medpipe.ops.pyradiomics_region import Measured, Preparation, levels_of, prepare
from medpipe.ops.pyradiomics_shape import shape_features, slice_shape_features
from medpipe.ops.register import register
from medpipe.types import Column, Geometry, Region, Volume

Values = dict[str, float]

_DEFAULT: Final[tuple[Family, ...]] = ("firstorder", "shape", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
_AXES: Final = ("z", "y", "x")
_TOP_LEVEL: Final = 2**16
_OF_BINS: Final = frozenset({"Entropy", "Uniformity"})
_OF_OWN_MAKING: Final = frozenset(
    {"Kurtosis", "MajorAxisLength", "MinorAxisLength", "LeastAxisLength", "MeshVolume", "SurfaceArea", "Sphericity"}
    | {"SurfaceVolumeRatio"}
)
"""Features whose formula is not that of the standard."""


@register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class Pyradiomics:
    """The 107 features of pyradiomics, equal to what version 3.0.1 gives for the same settings.

    For studies that began with it, or that are compared with published ones. What differs from
    the standard (``ibsi``) is told in the feature dictionary: bins begin at a multiple of their
    width, grids at the corner of the image, masks are interpolated by nearest neighbour, kurtosis
    is not the excess, the mesh is its own. Slices are taken in the order of the file. A volume on
    a GPU is measured on the host.

    Attributes
    ----------
    families : tuple of {"firstorder", "shape", "shape2D", "glcm", "glrlm", "glszm", "gldm", "ngtdm"}
    features : tuple of str
        Of a family only these, each as ``glcm_Contrast``; families of which none is named are whole.
    names : {"medpipe", "pyradiomics"}
        ``pr_glcm_contrast``, or ``original_glcm_Contrast``.
    bin_width, bins : float, int or None
        Width of a bin, or number of bins, which goes before.
    normalize, normalize_scale, outlier_limit : bool, float, float or None
        Mean 0 and standard deviation ``normalize_scale`` of all voxels of the image; before the
        scale takes effect, values beyond the limit become the limit.
    resample_mm : (float, float, float) or None
        Spacing (z, y, x), 0 to keep an axis; axes along which the region has one voxel stay.
    pad_voxels : int
        ``padDistance``: where samples of the mask lie half-way between voxels, rounding decides.
    whole_numbers : bool or None
        Whether an interpolated image holds whole numbers, as it does there where the file does;
        absent: where the whole image does. What is normalized holds none.
    range, range_mode, range_shape : tuple of float, str, bool
        Re-segmentation from the first value and, of two, up to the second: as they are, times the
        region's maximum, or in standard deviations from its mean. Shape is that of the whole
        region, within the box of what is left, unless ``range_shape``.
    force_2d : {"z", "y", "x"} or None
        Axis that texture does not go along.
    distances, gldm_within, symmetric, weighting, energy_shift : tuple of int, int, bool, str or None, float
        ``distances``, ``gldm_a``, ``symmetricalGLCM``, ``weightingNorm``, ``voxelArrayShift``.
    least_dimensions, least_voxels : int
        Regions with fewer axes of more than one voxel, or with this many voxels or fewer, are
        refused; those of one voxel always are.

    Notes
    -----
    van Griethuysen et al., Cancer Research 2017, doi:10.1158/0008-5472.CAN-17-0339.
    """

    name: ClassVar[str] = "pyradiomics"
    version: ClassVar[int] = 2
    uses_file_order: ClassVar[bool] = True

    families: tuple[Family, ...] = parameter(_DEFAULT, doc="classes of features")
    features: tuple[str, ...] = parameter((), doc="features (glcm_Contrast) that stand for all of their class")
    names: Names = parameter(  # noqa: RUF009  # declares a field
        "medpipe", doc="columns as pr_glcm_contrast, or as original_glcm_Contrast"
    )
    bin_width: float = parameter(25.0, doc="width of a grey-level bin", unit="unit of the image", above=0.0)
    bins: int | None = parameter(None, doc="number of grey-level bins", low=1, high=MAX_LEVELS)
    normalize: bool = parameter(default=False, doc="bring the whole image to mean 0 and one standard deviation")
    normalize_scale: float = parameter(1.0, doc="standard deviation of a normalized image", above=0.0)
    outlier_limit: float | None = parameter(None, doc="standard deviations that normalized values end at", above=0.0)
    resample_mm: tuple[float, float, float] | None = parameter(
        None, doc="spacing z, y, x to resample to, 0 to keep an axis; none if absent", unit="mm", low=0.0
    )
    interpolator: Interpolator = parameter(  # noqa: RUF009  # declares a field
        "bspline", doc="interpolation of the image; masks take the nearest voxel"
    )
    pad_voxels: int = parameter(
        5, doc="voxels of the grid around the region, on which points half-way between voxels depend", low=0, high=100
    )
    whole_numbers: bool | None = parameter(
        None, doc="whether interpolated images hold whole numbers; if absent, where the image does"
    )
    range: tuple[float, ...] = parameter((), doc="one or two thresholds of the intensities kept")
    range_mode: Literal["absolute", "relative", "sigma"] = parameter("absolute", doc="what thresholds count in")
    range_shape: bool = parameter(default=False, doc="measure the shape of what re-segmentation leaves")
    force_2d: Literal["z", "y", "x"] | None = parameter(None, doc="axis that texture does not go along")
    distances: tuple[int, ...] = parameter((1,), doc="distances of neighbours", unit="voxel", low=1, high=16)
    gldm_within: int = parameter(0, doc="grey levels that a dependent neighbour may be away", low=0)
    symmetric: bool = parameter(default=True, doc="count pairs of voxels from both ends")
    weighting: Norm | None = parameter(  # noqa: RUF009  # declares a field
        None, doc="norm that directions are weighted by; averaged if absent"
    )
    energy_shift: float = parameter(0.0, doc="added to intensities for energies", unit="unit of the image")
    least_dimensions: Literal[1, 2, 3] = parameter(2, doc="axes along which a region must have two voxels")
    least_voxels: int = parameter(0, doc="voxels that a region must have more of", unit="voxel", low=0)

    def __post_init__(self) -> None:
        """Refuse parameters that do not fit each other."""
        for field, given in (("families", self.families), ("distances", self.distances)):
            if not given or len(set(given)) < len(given):
                raise ConfigError(f"pyradiomics.{field}: names at least one, and none twice")
        known = {f"{family}_{feature.name}" for family in self.families for feature in FEATURES[family]}
        for feature in self.features:
            if feature not in known:
                raise ConfigError(f"pyradiomics.features: {feature!r} is no feature of {', '.join(self.families)}")
        roi.check_settings("pyradiomics", resample_mm=self.resample_mm, limits=None)
        if len(self.range) > 2:
            raise ConfigError("pyradiomics.range: one or two thresholds")
        if "shape2D" in self.families and self.force_2d is None:
            raise ConfigError("pyradiomics.families: shape2D needs force_2d, the axis it does not go along")

    @property
    def library_bytes(self) -> int:
        """What is loaded to interpolate."""
        return 0 if self.resample_mm is None else LIBRARY_BYTES

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns in the order of the classes, whatever the order of ``families``."""
        return _columns(self)

    @property
    def discretisation(self) -> str:
        """How grey levels are made; empty where none are."""
        if TEXTURE.isdisjoint(self.families) and "firstorder" not in self.families:
            return ""
        if self.bins is not None:
            return f"fixed bin number {self.bins}"
        return f"fixed bin size {self.bin_width:g} from a multiple of it"

    def discretisation_of_column(self, column: Column) -> str:
        """Return how the levels of a column are made; empty where it is measured on intensities or the mask."""
        is_binned = column.family in TEXTURE or column.alias.rpartition("_")[2] in _OF_BINS
        return self.discretisation if is_binned else ""

    @property
    def compliance(self) -> str:
        """``deviates``; see :meth:`compliance_of` for each column."""
        return "deviates"

    def compliance_of(self, column: Column) -> str:
        """Return ``none`` for what the standard does not know, ``ibsi`` for what is made its way, else ``deviates``."""
        if not column.ibsi:
            return "none"
        feature = column.alias.rpartition("_")[2]
        by_intensity = column.family not in ("shape", "shape2D")
        made_otherwise = [
            feature in _OF_OWN_MAKING,
            self.resample_mm is not None,
            bool(self.discretisation_of_column(column)) and self.bins is None,
            column.family in TEXTURE and self.distances != (1,),
            column.family == "glcm" and not self.symmetric,
            column.family in DIRECTIONAL and self.weighting not in (None, "no_weighting"),
            column.family == "gldm" and self.gldm_within > 0,
            # voxels without a neighbour count there
            column.family == "ngtdm",
            feature in ("Energy", "RootMeanSquared") and self.energy_shift != 0.0,
            by_intensity and self.normalize,
            by_intensity and self.range_mode == "relative",
            not by_intensity and bool(self.range),
        ]
        return "deviates" if any(made_otherwise) else "ibsi"

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes of a region as large as the volume, with a surface that is not all noise."""
        return region_bytes(
            geometry,
            families=self.families,
            resample_mm=self.resample_mm,
            normalize=self.normalize,
            distances=self.distances,
            flat_axis=self._flat_axis(),
            levels=self._most_levels(roi.voxels_after(geometry, self.resample_mm)),
        )

    def __call__(self, volume: Volume, region: Region) -> Mapping[str, float]:
        """Return a value for every column; all NaN for an empty region.

        Raises
        ------
        Rejected
            As :func:`medpipe.ops.pyradiomics_region.prepare`, or ``E_LEVELS`` for more grey
            levels than a texture matrix can hold.
        """
        names = [column.name for column in self.columns]
        measured = prepare(volume, region, self._preparation())
        if measured is None:
            return dict.fromkeys(names, math.nan)
        found: dict[str, float] = {}
        for family, values in self._measures(measured).items():
            found |= {column_name(family, feature, self.names): value for feature, value in values.items()}
        return {name: found[name] if math.isfinite(found.get(name, math.nan)) else math.nan for name in names}

    def _measures(self, measured: Measured) -> dict[Family, Values]:
        found: dict[Family, Values] = {}
        mask, spacing_mm, flat_axis = measured.shape, measured.spacing_mm, self._flat_axis()
        if spacing_mm is not None and "shape" in self.families:
            found["shape"] = shape_features(mask, spacing_mm=spacing_mm)
        if spacing_mm is not None and flat_axis is not None and "shape2D" in self.families:
            found["shape2D"] = slice_shape_features(mask, spacing_mm=spacing_mm, flat_axis=flat_axis)
        if TEXTURE.isdisjoint(self.families) and "firstorder" not in self.families:
            return found
        values = measured.image[measured.intensity]
        levels = levels_of(values, bins=self.bins, width=self.bin_width)
        if "firstorder" in self.families:
            voxel_mm3 = math.nan if spacing_mm is None else math.prod(spacing_mm)
            found["firstorder"] = compat_texture.first_order(
                values, levels, shift=self.energy_shift, voxel_mm3=voxel_mm3
            )
        if not TEXTURE.isdisjoint(self.families):
            if levels.max() >= _TOP_LEVEL:
                raise Rejected("E_LEVELS")
            grid = np.zeros(measured.image.shape, dtype=levels.dtype)
            grid[measured.intensity] = levels
            del values, levels
            ranks = ranks_of(grid)
            del grid
            found |= self._texture(ranks, measured)
        return found

    def _texture(self, ranks: Ranks, measured: Measured) -> dict[Family, Values]:
        flat_axis, spacing_mm = self._flat_axis(), measured.spacing_mm
        found: dict[Family, Values] = {}
        near = directions_at((1,), flat_axis=flat_axis)
        around = directions_at(self.distances, flat_axis=flat_axis)
        farthest = max(self.distances)
        padded = ranks.padded if farthest == 1 else np.pad(ranks.padded, farthest)
        can_weigh = self.weighting is None or spacing_mm is not None
        if "glcm" in self.families and can_weigh:
            weights = self._lengths(around, spacing_mm)
            if weights is not None and self.weighting != "no_weighting":
                weights = np.exp(-(weights**2))
            found["glcm"] = pairs.pair_features(
                padded, ranks.levels, directions=around, weights=weights, symmetric=self.symmetric
            )
        if "glrlm" in self.families and can_weigh:
            weights = self._lengths(near, spacing_mm)
            found["glrlm"] = compat_texture.run_features(ranks, directions=near, weights=weights)
        if "glszm" in self.families:
            turned = ranks if flat_axis is None else Ranks(np.moveaxis(ranks.padded, flat_axis, 0).copy(), ranks.levels)
            found["glszm"] = compat_texture.zone_features(turned, in_slices=flat_axis is not None)
        if not {"gldm", "ngtdm"}.isdisjoint(self.families):
            found["gldm"], found["ngtdm"] = compat_texture.neighbour_features(
                padded, ranks.levels, directions=around, within=self.gldm_within
            )
        return found

    def _lengths(self, directions: Directions, spacing_mm: roi.Spacing | None) -> NDArray[np.float64] | None:
        if self.weighting is None or spacing_mm is None:
            return None
        return lengths_mm(directions, norm=self.weighting, spacing_mm=spacing_mm)

    def _columns_of(self, family: Family) -> tuple[Column, ...]:
        columns = columns_of(family, aggregation=self._aggregation(family), names=self.names)
        kept = {feature for feature in self.features if feature.startswith(f"{family}_")}
        if kept:
            columns = tuple(one for one in columns if one.alias.partition("_")[2] in kept)
        if family == "gldm" and max(self.distances) > 1:
            # there are more neighbours than at distance 1
            columns = tuple(replace(one, high=math.nan) if one.high > 1 else one for one in columns)
        return columns

    def _aggregation(self, family: Family) -> str:
        if family not in TEXTURE:
            return ""
        way = "3D" if self.force_2d is None else "2_5D"
        if family not in DIRECTIONAL:
            return way
        return f"{way}_avg" if self.weighting is None else f"{way}_comb"

    def _flat_axis(self) -> int | None:
        return None if self.force_2d is None else _AXES.index(self.force_2d)

    def _most_levels(self, voxels: int) -> int:
        if self.bins is not None:
            return self.bins
        most = min(MAX_LEVELS, voxels)
        if len(self.range) == 2 and self.range_mode == "absolute":
            most = min(most, int((max(self.range) - min(self.range)) / self.bin_width) + 2)
        return most

    def _preparation(self) -> Preparation:
        return Preparation(
            normalize=self.normalize,
            scale=self.normalize_scale,
            outlier_limit=self.outlier_limit,
            resample_mm=self.resample_mm,
            interpolator=self.interpolator,
            pad_voxels=self.pad_voxels,
            whole_numbers=self.whole_numbers,
            least_dimensions=self.least_dimensions,
            least_voxels=self.least_voxels,
            thresholds=self.range,
            mode=self.range_mode,
            resegment_shape=self.range_shape,
        )


@lru_cache(maxsize=64)
def _columns(op: Pyradiomics) -> tuple[Column, ...]:
    """Return the columns of an extractor, which each region asks for."""
    return tuple(column for family in FEATURES if family in op.families for column in op._columns_of(family))
