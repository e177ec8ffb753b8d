"""The features of the Image Biomarker Standardisation Initiative."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

from medpipe.contracts.protocols import ImageOp
from medpipe.errors import ConfigError
from medpipe.kernels import glcm, glrlm, intensity_histogram, local_intensity, morphology, neighbours, statistics, zones
from medpipe.kernels.ranks import MAX_LEVELS, Aggregation, ranks_of, ways_of
from medpipe.kernels.sums import mean_of
from medpipe.ops import response_maps, roi
from medpipe.ops.ibsi_columns import BINNED_FAMILIES, FAMILIES, TEXTURE, Family, column_name, columns_of
from medpipe.ops.ibsi_device import OnDevice
from medpipe.ops.ibsi_levels import Levels, Values, VolumeLevels, check_range, ends_of
from medpipe.ops.ibsi_limits import limits_of
from medpipe.ops.ibsi_memory import OnHost
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Column, Region, Volume
from medpipe.xp import backend_of


@register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class Ibsi(OnHost, OnDevice):
    """Statistics, morphology and texture of a region by the IBSI reference manual.

    The order of steps is the manual's: interpolate image and mask, round, re-segment,
    discretise, compute. A volume on a GPU is measured there, but for the mesh and the hull, which
    are made on the host of the mask: matrices and numbers come back.

    Attributes
    ----------
    families : tuple of {"statistics", "morphology", "enclosing", "local_intensity", \
"intensity_histogram", "intensity_volume_histogram", "glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm"}
    resample_mm : (float, float, float) or None
        Spacing (z, y, x) in mm, 0 to keep an axis as it is (the slices, for features within
        slices); None measures the voxels as they are. Uneven slices become even.
    order : {1, 3}
        Linear or cubic B-spline interpolation of the image; masks are always linear.
    round : bool
        Whether to round intensities to whole numbers after interpolation, as HU should be.
    range : (float, float), (float,) or None
        Intensities kept by re-segmentation, ends included; of one number, all from it on.
    outlier_sigma : float or None
        Intensities farther than this many standard deviations from the region's mean go.
    bin_width, bins : float or None, int or None
        Width of a grey-level bin (from the lower end of ``range``), or number of bins; exactly
        one of them where the intensity histogram or texture is asked for.
    aggregations : tuple of str
        How texture matrices of directions and slices are joined. Zones and neighbourhoods have
        no directions: ``3D_avg`` and ``3D_comb`` both ask for ``3D``, and so on.
    autocorrelation_voxels : int
        Size of the region's box, in voxels after resampling, above which Moran's I and Geary's
        C are left NaN: they take about 8 bytes and a quarter of a microsecond for each voxel of the box.
    ivh_bin_width, ivh_bins : float or None, int or None
        Levels of the intensity-volume histogram: bins of a width, or a number of them; without
        both the intensities are its levels, in steps of 1.
    filters : tuple of ImageOp
        Filters of IBSI 2. Each makes a response map of the whole interpolated and rounded image;
        what re-segmentation of the original intensities left of the region is measured on it, in
        columns of their own whose names begin with the filter.
    filter_families : tuple of str
        Families measured on response maps: all but those of shape and of intensity peaks.
    filter_bins, filter_bin_width : int or None, float or None
        Grey levels of response maps: a number of bins (that of ``bins`` if both are absent), or
        bins of a width from the map's minimum in the region, which is not compliant. Levels of
        the intensity-volume histogram are ``ivh_bins``, or 1000.

    Notes
    -----
    Zwanenburg et al., Radiology 2020, doi:10.1148/radiol.2020191145; Whybra et al., Radiology
    2024, doi:10.1148/radiol.231319 (filters).
    """

    name: ClassVar[str] = "ibsi"
    version: ClassVar[int] = 2

    families: tuple[Family, ...] = parameter(("statistics", "morphology", "glcm"), doc="families of features")
    resample_mm: tuple[float, float, float] | None = parameter(
        None, doc="spacing z, y, x to resample to, 0 to keep an axis; none if absent", unit="mm", low=0.0
    )
    order: Literal[1, 3] = parameter(1, doc="interpolation of the image: 1 linear, 3 cubic B-spline")
    round: bool = parameter(default=False, doc="round intensities to whole numbers after interpolation")
    range: tuple[float, ...] | None = parameter(
        None, doc="intensities kept: from one to the other, or from one on", unit="unit of the image", counts=(1, 2)
    )
    outlier_sigma: float | None = parameter(None, doc="standard deviations beyond which intensities go", above=0.0)
    bin_width: float | None = parameter(None, doc="width of a grey-level bin", unit="unit of the image", above=0.0)
    bins: int | None = parameter(None, doc="number of grey-level bins", low=2, high=MAX_LEVELS)
    aggregations: tuple[Aggregation, ...] = parameter(("3D_avg", "3D_comb"), doc="how texture matrices are joined")
    autocorrelation_voxels: int = parameter(
        50_000_000, doc="largest box of a region for Moran's I and Geary's C", unit="voxel", low=0
    )
    ivh_bin_width: float | None = parameter(
        None, doc="width of a level of the intensity-volume histogram", unit="unit of the image", above=0.0
    )
    ivh_bins: int | None = parameter(None, doc="number of levels of the intensity-volume histogram", low=2)
    filters: tuple[ImageOp, ...] = parameter((), doc="filters whose response maps are measured too")
    filter_families: tuple[response_maps.MapFamily, ...] = parameter(
        ("statistics",), doc="families of features of response maps"
    )
    filter_bins: int | None = parameter(
        None, doc="number of grey-level bins of response maps; bins if absent", low=2, high=MAX_LEVELS
    )
    filter_bin_width: float | None = parameter(
        None, doc="width of a grey-level bin of response maps, not compliant", unit="unit of the map", above=0.0
    )

    def __post_init__(self) -> None:
        """Refuse parameters that do not fit each other."""
        for field, given in (
            ("families", self.families),
            ("aggregations", self.aggregations),
            ("filter_families", self.filter_families),
        ):
            if not given or len(set(given)) < len(given):
                raise ConfigError(f"ibsi.{field}: names at least one, and none twice")
        response_maps.check_filters(self.filters)
        roi.check_settings("ibsi", resample_mm=self.resample_mm)
        check_range(self.range, "ibsi.range")
        if self.bin_width is not None and self.bins is not None:
            raise ConfigError("ibsi: either bin_width or bins, and not both")
        binned = [family for family in FAMILIES if family in BINNED_FAMILIES and family in self.families]
        if binned and self.bin_width is None and self.bins is None:
            raise ConfigError(f"ibsi: the family {binned[0]} needs either bin_width or bins")
        if self.ivh_bin_width is not None and self.ivh_bins is not None:
            raise ConfigError("ibsi: either ivh_bin_width or ivh_bins, and not both")
        if self.filters:
            _ = self.on_maps

    @property
    def on_maps(self) -> Ibsi:
        """How response maps are measured: without steps that the image has gone through.

        Raises
        ------
        ConfigError
            If a family of response maps needs bins, and there are none, or both kinds.
        """
        bins = self.filter_bins
        if bins is None and self.filter_bin_width is None:
            bins = self.bins
        try:
            return Ibsi(
                families=self.filter_families,
                bin_width=self.filter_bin_width,
                bins=bins,
                aggregations=self.aggregations,
                ivh_bins=self.ivh_bins or response_maps.IVH_BINS,
            )
        except ConfigError as error:
            raise ConfigError(f"response maps (filter_bins, filter_bin_width): {error}") from None

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns in the order of the standard, whatever the order of ``families``."""
        return _columns(self)

    @property
    def discretisation(self) -> str:
        """How grey levels are made; empty where none are."""
        return self._grey_levels.told if BINNED_FAMILIES & set(self.families) else ""

    def discretisation_of(self, family: str) -> str:
        """Return how the levels of a family are made; empty where it is measured on intensities."""
        if family == "intensity_volume_histogram":
            return self._volume_levels.told
        return self.discretisation if family in BINNED_FAMILIES else ""

    @property
    def compliance(self) -> str:
        """``ibsi``, or ``deviates``: bins of fixed size whose levels mean another intensity in each region."""
        levels = [self._grey_levels] if BINNED_FAMILIES & set(self.families) else []
        if "intensity_volume_histogram" in self.families:
            levels.append(self._volume_levels.levels)
        return "deviates" if any(one.floats for one in levels) else "ibsi"

    def compliance_of(self, column: Column) -> str:
        """Return ``deviates`` for what is measured on such levels, and ``ibsi`` for the rest."""
        if column.family == "intensity_volume_histogram":
            return "deviates" if self._volume_levels.levels.floats else "ibsi"
        return "deviates" if column.family in BINNED_FAMILIES and self._grey_levels.floats else "ibsi"

    def limits_of(self, column: Column) -> tuple[float, float]:
        """Return lowest and highest value of a column under these settings; NaN where there is no bound."""
        return limits_of(column, self._grey_levels, self._volume_levels.levels)

    @property
    def _grey_levels(self) -> Levels:
        return Levels(width=self.bin_width, bins=self.bins, limits=ends_of(self.range))

    @property
    def _volume_levels(self) -> VolumeLevels:
        return VolumeLevels(Levels(width=self.ivh_bin_width, bins=self.ivh_bins, limits=ends_of(self.range)))

    def __call__(self, volume: Volume, region: Region) -> Mapping[str, float]:
        """Return a value for every column; all NaN if nothing of the region is left.

        Raises
        ------
        Rejected
            ``E_AXES``, ``E_GRID``, ``NO_SPACING`` or ``W_UNEVEN`` (see
            :func:`medpipe.ops.roi.prepare`), ``E_LEVELS`` for more grey levels than a texture
            matrix can hold, ``E_SPACING`` for a filter of a length in mm without spacing, or
            ``E_OP_NONFINITE`` for one whose map leaves float32.
        """
        names = [column.name for column in self.columns]
        values = dict.fromkeys(names, math.nan)
        chain = roi.Chain(
            resample_mm=self.resample_mm,
            order=self.order,
            rounded=self.round,
            limits=ends_of(self.range),
            outlier_sigma=self.outlier_sigma,
            around_mm=local_intensity.RADIUS_MM if "local_intensity" in self.families else 0.0,
            context=response_maps.context_of(self.filters, volume.geometry, self.resample_mm),
        )
        measured = roi.prepare(volume, region, chain)
        if measured is None:
            return values
        values |= self._measured(measured)
        maps = response_maps.WHOLE_MAPS.of(self, volume.data) if self.filters else {}
        for one in self.filters:
            on_map = response_maps.on_map(measured, one, maps)
            if on_map is not None:
                values |= response_maps.named_values(one, self.on_maps._measured(on_map))
        return {name: value if math.isfinite(value := values[name]) else math.nan for name in names}

    def _measured(self, measured: roi.Roi) -> dict[str, float]:
        values: dict[str, float] = {}
        for family, measure in _MEASURES.items():
            if family in self.families:
                values |= measure(self, measured)
        if not TEXTURE.isdisjoint(self.families):
            values |= self._texture(measured)
        return values

    def _statistics(self, measured: roi.Roi) -> dict[str, float]:
        found = statistics.intensity_statistics(measured.values)
        return {column_name("stat", key, ""): value for key, value in found.items()}

    def _morphology(self, measured: roi.Roi) -> dict[str, float]:
        spacing_mm = measured.spacing_mm
        if spacing_mm is None:
            return {}
        found = morphology.shape_features(measured.morphological, spacing_mm=spacing_mm)
        found |= morphology.intensity_shape_features(
            measured.image,
            measured.morphological,
            measured.intensity,
            spacing_mm=spacing_mm,
            autocorrelation=measured.image.size <= self.autocorrelation_voxels,
        )
        found["integ_int"] = found["volume"] * mean_of(measured.values)
        return {column_name("morph", key, ""): value for key, value in found.items()}

    def _enclosing(self, measured: roi.Roi) -> dict[str, float]:
        if measured.spacing_mm is None:
            return {}
        found = morphology.enclosing_features(measured.morphological, spacing_mm=measured.spacing_mm)
        return {column_name("morph", key, ""): value for key, value in found.items()}

    def _local_intensity(self, measured: roi.Roi) -> dict[str, float]:
        if measured.spacing_mm is None:
            return {}
        found = local_intensity.intensity_peaks(
            measured.around, measured.intensity, box=measured.box, spacing_mm=measured.spacing_mm
        )
        return {column_name("loc", key, ""): value for key, value in found.items()}

    def _intensity_histogram(self, measured: roi.Roi) -> dict[str, float]:
        found = intensity_histogram.histogram_features(self._levels(measured.values))
        return {column_name("ih", key, ""): value for key, value in found.items()}

    def _intensity_volume_histogram(self, measured: roi.Roi) -> dict[str, float]:
        found = self._volume_levels.features(measured.values)
        return {column_name("ivh", key, ""): value for key, value in found.items()}

    def _texture(self, measured: roi.Roi) -> dict[str, float]:
        of_voxels = self._levels(measured.values)
        levels = backend_of(of_voxels).xp.zeros(measured.image.shape, dtype=of_voxels.dtype)
        levels[measured.intensity] = of_voxels
        del of_voxels
        ranks = ranks_of(levels)
        del levels
        ways = ways_of(self.aggregations)
        values: dict[str, float] = {}
        if "glcm" in self.families:
            values |= _named("glcm", glcm.glcm_features(ranks, aggregations=self.aggregations))
        if "glrlm" in self.families:
            values |= _named("glrlm", glrlm.glrlm_features(ranks, aggregations=self.aggregations))
        # Two families come from one pass each: the one not asked for costs next to nothing.
        if not {"glszm", "gldzm"}.isdisjoint(self.families):
            of_zones = zones.zone_features(ranks, measured.inside, ways=ways)
            values |= _named("glszm", of_zones.size) | _named("gldzm", of_zones.distance)
        if not {"ngtdm", "ngldm"}.isdisjoint(self.families):
            around = neighbours.neighbour_features(ranks, ways=ways)
            values |= _named("ngtdm", around.tone) | _named("ngldm", around.dependence)
        return values

    def _levels(self, values: Values) -> Array:
        return self._grey_levels.of(values)

    def _most_levels(self, voxels: int) -> int:
        if self.bins is not None:
            return self.bins
        most = min(MAX_LEVELS, voxels)
        if self.range is not None and len(self.range) == 2 and self.bin_width is not None:
            most = min(most, int((self.range[1] - self.range[0]) / self.bin_width) + 1)
        return most


@lru_cache(maxsize=64)
def _columns(op: Ibsi) -> tuple[Column, ...]:
    """Return the columns of an extractor, which each region asks for."""
    asked = (family for family in FAMILIES if family in op.families)
    columns = (column for family in asked for column in columns_of(family, op.aggregations))
    own = tuple(op._volume_levels.column(column) for column in columns)
    if not op.filters:
        return own
    return own + response_maps.columns_of_maps(op.filters, op.on_maps.columns)


_MEASURES: dict[Family, Callable[[Ibsi, roi.Roi], dict[str, float]]] = {
    "statistics": Ibsi._statistics,
    "morphology": Ibsi._morphology,
    "enclosing": Ibsi._enclosing,
    "local_intensity": Ibsi._local_intensity,
    "intensity_histogram": Ibsi._intensity_histogram,
    "intensity_volume_histogram": Ibsi._intensity_volume_histogram,
}


def _named(family: Family, found: Mapping[Any, Mapping[str, float]]) -> dict[str, float]:
    """Return the values of a texture family by column."""
    prefix, _ = FAMILIES[family]
    return {column_name(prefix, key, way): value for way, some in found.items() for key, value in some.items()}
