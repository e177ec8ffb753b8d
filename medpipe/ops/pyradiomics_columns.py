"""What each column of pyradiomics is: its name there and here, IBSI code, unit, range."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Literal, NamedTuple

from medpipe.kernels import compat_texture, pairs
from medpipe.ops import ibsi_columns
from medpipe.types import Column

Family = Literal["firstorder", "shape", "shape2D", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]
"""Feature classes of pyradiomics."""

Names = Literal["medpipe", "pyradiomics"]


class Feature(NamedTuple):
    """A feature of a class: what pyradiomics calls it, the IBSI code of what it means, and what differs."""

    name: str
    ibsi: str = ""
    unit: str = ""
    low: float = math.nan
    high: float = math.nan


_STANDARD = {
    feature.ibsi: feature for _, features in ibsi_columns.FAMILIES.values() for feature in features if feature.ibsi
}
_IMAGE = "original"
"""What pyradiomics calls an image without a filter."""

_FIRST_ORDER = (
    Feature("10Percentile", "QG58"),
    Feature("90Percentile", "8DWT"),
    Feature("Energy", "N8CA"),
    Feature("Entropy", "TLU2"),
    Feature("InterquartileRange", "SALO"),
    Feature("Kurtosis", "IPH6", "1", 0),
    Feature("Maximum", "84IY"),
    Feature("MeanAbsoluteDeviation", "4FUA"),
    Feature("Mean", "Q4LE"),
    Feature("Median", "Y12H"),
    Feature("Minimum", "1GSF"),
    Feature("Range", "2OJQ"),
    Feature("RobustMeanAbsoluteDeviation", "1128"),
    Feature("RootMeanSquared", "5ZWQ"),
    Feature("Skewness", "KE2A"),
    Feature("TotalEnergy", "", "image^2*mm3", 0),
    Feature("Uniformity", "BJ5W"),
    Feature("Variance", "ECT3"),
)

_SHAPE = (
    Feature("Elongation", "Q3CK"),
    Feature("Flatness", "N17B"),
    Feature("LeastAxisLength", "7J51"),
    Feature("MajorAxisLength", "TDIC"),
    Feature("Maximum2DDiameterColumn", "", "mm", 0),
    Feature("Maximum2DDiameterRow", "", "mm", 0),
    Feature("Maximum2DDiameterSlice", "", "mm", 0),
    Feature("Maximum3DDiameter", "L0JK"),
    # where a surface has gaps, its volume can be anything
    Feature("MeshVolume", "RNU0", "mm3", -math.inf),
    Feature("MinorAxisLength", "P9VJ"),
    Feature("Sphericity", "QCFX", "1", 0, math.inf),
    Feature("SurfaceArea", "C0JK"),
    Feature("SurfaceVolumeRatio", "2PR5", "1/mm", -math.inf),
    Feature("VoxelVolume", "YEKZ"),
)

_SHAPE_2D = (
    Feature("Elongation", "", "1", 0, 1),
    Feature("MajorAxisLength", "", "mm", 0),
    Feature("MaximumDiameter", "", "mm", 0),
    Feature("MeshSurface", "", "mm2", 0),
    Feature("MinorAxisLength", "", "mm", 0),
    Feature("Perimeter", "", "mm", 0),
    Feature("PerimeterSurfaceRatio", "", "1/mm", 0),
    Feature("PixelSurface", "", "mm2", 0),
    Feature("Sphericity", "", "1", 0),
)

_GLCM_CODES = (
    "QWB0 60VM AE86 7NFM DG8W ACUI NI2N TF7R NTRS D3YU 8ZQL TU9B R8DG JN9H WF0Z - 1QCO IB1Z NDRX E8JP GYBY ZGXS P6QZ "
    "UR99"
)


def _coded(names: tuple[str, ...], codes: tuple[str, ...]) -> tuple[Feature, ...]:
    return tuple(Feature(name, code) for name, code in zip(names, codes, strict=False) if name)


def _codes_of(family: ibsi_columns.Family) -> tuple[str, ...]:
    return tuple(feature.ibsi for feature in ibsi_columns.FAMILIES[family][1])


FEATURES: dict[Family, tuple[Feature, ...]] = {
    "firstorder": _FIRST_ORDER,
    "shape": _SHAPE,
    "shape2D": _SHAPE_2D,
    "glcm": tuple(
        Feature("MCC", "", "1", 0, 1) if name == "MCC" else Feature(name, code)
        for name, code in zip(pairs.NAMES, _GLCM_CODES.split(), strict=True)
    ),
    "glrlm": _coded(compat_texture.RUN_NAMES, _codes_of("glrlm")),
    "glszm": _coded(compat_texture.ZONE_NAMES, _codes_of("glszm")),
    "gldm": _coded(compat_texture.DEPENDENCE_NAMES, _codes_of("ngldm")),
    "ngtdm": _coded(compat_texture.TONES, _codes_of("ngtdm")),
}
"""Features of each class, in the order of the columns."""

DIRECTIONAL: frozenset[Family] = frozenset({"glcm", "glrlm"})
"""Classes with a matrix for each direction."""

TEXTURE: frozenset[Family] = DIRECTIONAL | {"glszm", "gldm", "ngtdm"}
"""Classes of matrices of grey levels."""

ALIASES: dict[str, str] = {
    feature.ibsi: f"{_IMAGE}_{family}_{feature.name}"
    for family, features in FEATURES.items()
    for feature in features
    if feature.ibsi
}
"""What pyradiomics calls the feature of an IBSI code."""


@cache
def columns_of(family: Family, *, aggregation: str, names: Names) -> tuple[Column, ...]:
    """Return the columns of a class; `aggregation` is that of matrices."""
    return tuple(_column(family, feature, aggregation, names) for feature in FEATURES[family])


@cache
def column_name(family: Family, feature: str, names: Names) -> str:
    """Return the column of a feature: ``pr_glcm_joint_entropy``, or ``original_glcm_JointEntropy`` as it is named there."""
    if names == "pyradiomics":
        return f"{_IMAGE}_{family}_{feature}"
    words = re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", feature)
    return f"pr_{family}_{words}".lower()


def _column(family: Family, feature: Feature, aggregation: str, names: Names) -> Column:
    standard = _STANDARD.get(feature.ibsi, ibsi_columns.Feature("", ""))
    low = standard.low if math.isnan(feature.low) else feature.low
    high = standard.high if math.isnan(feature.high) else feature.high
    return Column(
        name=column_name(family, feature.name, names),
        family=family,
        ibsi=feature.ibsi,
        unit=feature.unit or standard.unit,
        aggregation=aggregation,
        low=low if math.isfinite(low) else math.nan,
        high=high if math.isfinite(high) else math.nan,
        alias=f"{_IMAGE}_{family}_{feature.name}",
    )
