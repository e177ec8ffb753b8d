"""What each IBSI column is: name, code, unit, range.

A family is one entry of :data:`FAMILIES`; a texture family of its own kernel is added here, in
:data:`DIRECTIONAL` or :data:`UNDIRECTED` by how its matrices are aggregated, and in
``ops/extract_ibsi.py`` where its numbers are computed.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Literal, NamedTuple

from medpipe.kernels import glrlm, neighbours, zones
from medpipe.kernels.ranks import Aggregation, ways_of
from medpipe.types import Column

Family = Literal[
    "statistics",
    "morphology",
    "enclosing",
    "local_intensity",
    "intensity_histogram",
    "intensity_volume_histogram",
    "glcm",
    "glrlm",
    "glszm",
    "gldzm",
    "ngtdm",
    "ngldm",
]
"""Families that can be asked for, in the order of the columns."""


class Feature(NamedTuple):
    """One feature of the standard: key in the kernel's result, IBSI code, unit and range."""

    key: str
    ibsi: str
    unit: str = "1"
    low: float = math.nan
    high: float = math.nan


STATISTICS = (
    Feature("mean", "Q4LE", "image"),
    Feature("var", "ECT3", "image^2", 0),
    Feature("skew", "KE2A"),
    Feature("kurt", "IPH6", "1", -2),
    Feature("median", "Y12H", "image"),
    Feature("min", "1GSF", "image"),
    Feature("p10", "QG58", "image"),
    Feature("p90", "8DWT", "image"),
    Feature("max", "84IY", "image"),
    Feature("iqr", "SALO", "image", 0),
    Feature("range", "2OJQ", "image", 0),
    Feature("mad", "4FUA", "image", 0),
    Feature("rmad", "1128", "image", 0),
    Feature("medad", "N72L", "image", 0),
    Feature("cov", "7TET"),
    Feature("qcod", "9S40"),
    Feature("energy", "N8CA", "image^2", 0),
    Feature("rms", "5ZWQ", "image", 0),
)

MORPHOLOGY = (
    Feature("volume", "RNU0", "mm3", 0),
    Feature("vol_approx", "YEKZ", "mm3", 0),
    Feature("area_mesh", "C0JK", "mm2", 0),
    Feature("av", "2PR5", "1/mm", 0),
    Feature("comp_1", "SKGS", "1", 0, 1 / (6 * math.pi)),
    Feature("comp_2", "BQWJ", "1", 0, 1),
    Feature("sph_dispr", "KRCK", "1", 1),
    Feature("sphericity", "QCFX", "1", 0, 1),
    Feature("asphericity", "25C7", "1", 0),
    Feature("com", "KLMA", "mm", 0),
    Feature("diam", "L0JK", "mm", 0),
    Feature("pca_maj_axis", "TDIC", "mm", 0),
    Feature("pca_min_axis", "P9VJ", "mm", 0),
    Feature("pca_least_axis", "7J51", "mm", 0),
    Feature("pca_elongation", "Q3CK", "1", 0, 1),
    Feature("pca_flatness", "N17B", "1", 0, 1),
    Feature("vol_dens_aabb", "PBX1", "1", 0, 1),
    Feature("area_dens_aabb", "R59B", "1", 0),
    Feature("vol_dens_aee", "6BDE", "1", 0),
    Feature("area_dens_aee", "RDD2", "1", 0),
    Feature("vol_dens_conv_hull", "R3ER", "1", 0, 1),
    Feature("area_dens_conv_hull", "7T7F", "1", 0),
    Feature("integ_int", "99N0", "image*mm3"),
    Feature("moran_i", "N365"),
    Feature("geary_c", "NPT7", "1", 0),
)

ENCLOSING = (
    Feature("vol_dens_ombb", "ZH1A", "1", 0, 1),
    Feature("area_dens_ombb", "IQYR", "1", 0),
    Feature("vol_dens_mvee", "SWZ1", "1", 0, 1),
    Feature("area_dens_mvee", "BRI8", "1", 0),
)

LOCAL_INTENSITY = (
    Feature("peak_loc", "VJGA", "image"),
    Feature("peak_glob", "0F91", "image"),
)

INTENSITY_HISTOGRAM = (
    Feature("mean", "X6K6", "1", 1),
    Feature("var", "CH89", "1", 0),
    Feature("skew", "88K1"),
    Feature("kurt", "C3I7", "1", -2),
    Feature("median", "WIFQ", "1", 1),
    Feature("min", "1PR8", "1", 1),
    Feature("p10", "GPMT", "1", 1),
    Feature("p90", "OZ0C", "1", 1),
    Feature("max", "3NCY", "1", 1),
    Feature("mode", "AMMC", "1", 1),
    Feature("iqr", "WR0O", "1", 0),
    Feature("range", "5Z3W", "1", 0),
    Feature("mad", "D2ZX", "1", 0),
    Feature("rmad", "WRZB", "1", 0),
    Feature("medad", "4RNL", "1", 0),
    Feature("cov", "CWYJ", "1", 0),
    Feature("qcod", "SLWD", "1", 0, 1),
    Feature("entropy", "TLU2", "1", 0),
    Feature("uniformity", "BJ5W", "1", 0, 1),
    Feature("max_grad", "12CE"),
    Feature("max_grad_g", "8E6O", "1", 1),
    Feature("min_grad", "VQB3"),
    Feature("min_grad_g", "RHQZ", "1", 1),
)

INTENSITY_VOLUME_HISTOGRAM = (
    Feature("v10", "BC2M/NK6P", "1", 0, 1),
    Feature("v90", "BC2M/4279", "1", 0, 1),
    Feature("i10", "GBPN/PWN1", "image"),
    Feature("i90", "GBPN/BOHI", "image"),
    Feature("diff_v10_v90", "DDTU/WITY", "1", 0, 1),
    Feature("diff_i10_i90", "CNV2/JXJA", "image", 0),
    Feature("auc", "9CMM", "1", 0, 1),
)

GLCM = (
    Feature("joint_max", "GYBY", "1", 0, 1),
    Feature("joint_avg", "60VM", "1", 1),
    Feature("joint_var", "UR99", "1", 0),
    Feature("joint_entr", "TU9B", "1", 0),
    Feature("diff_avg", "TF7R", "1", 0),
    Feature("diff_var", "D3YU", "1", 0),
    Feature("diff_entr", "NTRS", "1", 0),
    Feature("sum_avg", "ZGXS", "1", 2),
    Feature("sum_var", "OEEB", "1", 0),
    Feature("sum_entr", "P6QZ", "1", 0),
    Feature("energy", "8ZQL", "1", 0, 1),
    Feature("contrast", "ACUI", "1", 0),
    Feature("dissimilarity", "8S9J", "1", 0),
    Feature("inv_diff", "IB1Z", "1", 0, 1),
    Feature("inv_diff_norm", "NDRX", "1", 0, 1),
    Feature("inv_diff_mom", "WF0Z", "1", 0, 1),
    Feature("inv_diff_mom_norm", "1QCO", "1", 0, 1),
    Feature("inv_var", "E8JP", "1", 0, 1),
    Feature("corr", "NI2N", "1", -1, 1),
    Feature("auto_corr", "QWB0", "1", 1),
    Feature("clust_tend", "DG8W", "1", 0),
    Feature("clust_shade", "7NFM"),
    Feature("clust_prom", "AE86", "1", 0),
    Feature("info_corr1", "R8DG", "1", -1, 1),
    Feature("info_corr2", "JN9H", "1", 0, 1),
)


def _matrix(names: tuple[str, ...], codes: str, widest: float) -> tuple[Feature, ...]:
    """Return the features of a matrix by level and size; ``widest`` is the largest size, NaN for none."""
    far = widest**2
    ranges = [(0, 1), (1, far), (0, 1), (1, math.nan), (0, 1), (0, math.nan), (0, far), (1, math.nan)]
    ranges += [(0, math.nan), (0, 1), (0, math.nan), (0, 1), (0, 1), (0, math.nan), (0, far), (0, math.nan), (0, 1)]
    return tuple(
        Feature(name, code, "1", low, high)
        for name, code, (low, high) in zip(names, codes.split(), ranges[: len(names)], strict=True)
    )


GLRLM = _matrix(
    glrlm.NAMES,
    "22OV W4KF V3SW G3QZ HTZT GD3A IVPO 3KUM R5YN OVBL W92Y IC23 9ZK5 8CE5 SXLW HJ9O",
    math.nan,
)

GLSZM = _matrix(
    zones.SIZE_NAMES,
    "5QRC 48P8 XMSY 5GN9 5RAI HW1V YH51 J17V JNSA Y1RO 4JP3 VB3A P30P BYLV 3NSA GU8N",
    math.nan,
)

GLDZM = _matrix(
    zones.DISTANCE_NAMES,
    "0GBI MB4I S1RA K26C RUVG DKNJ A7WM KLTH VFT7 7HP3 V294 IATH VIWW QK93 7WT1 GBDU",
    math.nan,
)

NGTDM = (
    Feature("coarseness", "QCDE", "1", 0, neighbours.MOST_COARSE),
    Feature("contrast", "65HE", "1", 0),
    Feature("busyness", "NQ30", "1", 0),
    Feature("complexity", "HDEZ", "1", 0),
    Feature("strength", "1X9X", "1", 0),
)

NGLDM = _matrix(
    neighbours.DEPENDENCE_NAMES,
    "SODN IMOQ TL9H OAE7 EQ3F JA6D NBZI 9QMG FP8K 5SPA Z87G OKJI 6XV8 1PFV DNX2 FCBV CAS9",
    27,
)

FAMILIES: dict[Family, tuple[str, tuple[Feature, ...]]] = {
    "statistics": ("stat", STATISTICS),
    "morphology": ("morph", MORPHOLOGY),
    "enclosing": ("morph", ENCLOSING),
    "local_intensity": ("loc", LOCAL_INTENSITY),
    "intensity_histogram": ("ih", INTENSITY_HISTOGRAM),
    "intensity_volume_histogram": ("ivh", INTENSITY_VOLUME_HISTOGRAM),
    "glcm": ("cm", GLCM),
    "glrlm": ("rlm", GLRLM),
    "glszm": ("szm", GLSZM),
    "gldzm": ("dzm", GLDZM),
    "ngtdm": ("ngt", NGTDM),
    "ngldm": ("ngl", NGLDM),
}
"""Prefix of the columns and features of each family."""

DIRECTIONAL: frozenset[Family] = frozenset({"glcm", "glrlm"})
"""Families with a matrix for each direction: a column for each aggregation."""

UNDIRECTED: frozenset[Family] = frozenset({"glszm", "gldzm", "ngtdm", "ngldm"})
"""Families without directions: ``3D_avg`` and ``3D_comb`` are both ``3D``, and so on."""

TEXTURE = DIRECTIONAL | UNDIRECTED
"""Families of matrices of grey levels."""

BINNED_FAMILIES: frozenset[Family] = TEXTURE | {"intensity_histogram"}
"""Families measured on grey levels."""


@cache
def columns_of(family: Family, aggregations: tuple[Aggregation, ...]) -> tuple[Column, ...]:
    """Return the columns of a family, aggregation by aggregation where it has them."""
    prefix, features = FAMILIES[family]
    ways: tuple[str, ...] = ("",)
    if family in TEXTURE:
        ways = aggregations if family in DIRECTIONAL else ways_of(aggregations)
    return tuple(
        Column(
            name=column_name(prefix, feature.key, way),
            family=family,
            ibsi=feature.ibsi,
            unit=feature.unit,
            aggregation=way,
            low=feature.low,
            high=feature.high,
        )
        for way in ways
        for feature in features
    )


def column_name(prefix: str, key: str, aggregation: str) -> str:
    """Return the IBSI tag of a feature: ``cm_joint_max_3D_avg``."""
    return f"{prefix}_{key}_{aggregation}" if aggregation else f"{prefix}_{key}"
