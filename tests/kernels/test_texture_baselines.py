"""Texture of real masks against the baselines that were published with them.

The baselines are those of pyradiomics, whose levels start at a multiple of the bin width.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medpipe.kernels import glrlm, neighbours, zones
from medpipe.kernels.ranks import DIRECTIONS_3D, Ranks, ranks_of

BIN_WIDTH = 25.0

_LEVELS = {
    "GrayLevelNonUniformity": "glnu",
    "GrayLevelNonUniformityNormalized": "glnu_norm",
    "GrayLevelVariance": "gl_var",
}
TERMS = {
    "glrlm": _LEVELS
    | {
        "ShortRunEmphasis": "sre",
        "LongRunEmphasis": "lre",
        "LowGrayLevelRunEmphasis": "lgre",
        "HighGrayLevelRunEmphasis": "hgre",
        "ShortRunLowGrayLevelEmphasis": "srlge",
        "ShortRunHighGrayLevelEmphasis": "srhge",
        "LongRunLowGrayLevelEmphasis": "lrlge",
        "LongRunHighGrayLevelEmphasis": "lrhge",
        "RunLengthNonUniformity": "rlnu",
        "RunLengthNonUniformityNormalized": "rlnu_norm",
        "RunPercentage": "r_perc",
        "RunVariance": "rl_var",
        "RunEntropy": "rl_entr",
    },
    "glszm": _LEVELS
    | {
        "SmallAreaEmphasis": "sze",
        "LargeAreaEmphasis": "lze",
        "LowGrayLevelZoneEmphasis": "lgze",
        "HighGrayLevelZoneEmphasis": "hgze",
        "SmallAreaLowGrayLevelEmphasis": "szlge",
        "SmallAreaHighGrayLevelEmphasis": "szhge",
        "LargeAreaLowGrayLevelEmphasis": "lzlge",
        "LargeAreaHighGrayLevelEmphasis": "lzhge",
        "SizeZoneNonUniformity": "zsnu",
        "SizeZoneNonUniformityNormalized": "zsnu_norm",
        "ZonePercentage": "z_perc",
        "ZoneVariance": "zs_var",
        "ZoneEntropy": "zs_entr",
    },
    "gldm": {
        "GrayLevelNonUniformity": "glnu",
        "GrayLevelVariance": "gl_var",
        "SmallDependenceEmphasis": "lde",
        "LargeDependenceEmphasis": "hde",
        "LowGrayLevelEmphasis": "lgce",
        "HighGrayLevelEmphasis": "hgce",
        "SmallDependenceLowGrayLevelEmphasis": "ldlge",
        "SmallDependenceHighGrayLevelEmphasis": "ldhge",
        "LargeDependenceLowGrayLevelEmphasis": "hdlge",
        "LargeDependenceHighGrayLevelEmphasis": "hdhge",
        "DependenceNonUniformity": "dcnu",
        "DependenceNonUniformityNormalized": "dcnu_norm",
        "DependenceVariance": "dc_var",
        "DependenceEntropy": "dc_entr",
    },
    "ngtdm": {name.capitalize(): name for name in neighbours.TONE_NAMES},
}


@cache
def _case(folder: Path, name: str) -> tuple[Ranks, np.ndarray]:
    image, labels = (
        sitk.GetArrayFromImage(sitk.ReadImage(folder / f"{name}_{part}.nrrd")) for part in ("image", "label")
    )
    box = tuple(slice(side.min(), side.max() + 1) for side in np.nonzero(labels == 1))
    image, mask = image[box], labels[box] == 1
    bins = np.floor(image / BIN_WIDTH).astype(np.int64)
    return ranks_of(np.where(mask, bins - bins[mask].min() + 1, 0)), mask


def _baseline(folder: Path, family: str, name: str) -> dict[str, float]:
    with (folder / "baseline" / f"baseline_{family}.csv").open(newline="") as lines:
        prefix = f"original_{family}_"
        rows = [row for row in csv.DictReader(lines) if row["featureName"].startswith(prefix)]
    return {row["featureName"].removeprefix(prefix): float(row[name]) for row in rows}


@pytest.mark.data
@pytest.mark.parametrize("name", ["brain1", "breast1"])
@pytest.mark.parametrize("family", TERMS)
def test_texture_of_a_real_mask_equals_the_published_baseline(data_root: Path, family: str, name: str) -> None:
    ranks, mask = _case(data_root / "radiomics", name)
    if family == "glrlm":
        found = glrlm.glrlm_features(ranks, aggregations=("3D_avg",))["3D_avg"]
    elif family == "glszm":
        found = zones.zone_features(ranks, mask, ways=("3D",)).size["3D"]
    else:
        tone, dependence = neighbours.neighbour_features(ranks, ways=("3D",))
        found = (tone if family == "ngtdm" else dependence)["3D"]
    expected = _baseline(data_root / "radiomics", family, name)
    assert expected.keys() == TERMS[family].keys()
    assert {theirs: found[ours] for theirs, ours in TERMS[family].items()} == pytest.approx(expected, rel=1e-9)


@pytest.mark.data
@pytest.mark.parametrize("name", ["brain1", "breast1"])
def test_counts_of_a_real_mask_equal_the_published_matrices(data_root: Path, name: str) -> None:
    folder = data_root / "radiomics"
    ranks, mask = _case(folder, name)
    published = {family: np.load(folder / "baseline" / f"{name}_{family}.npy") for family in TERMS}
    n_levels = ranks.levels.size
    runs = glrlm.run_lengths(ranks.padded, n_levels=n_levels, directions=DIRECTIONS_3D).sum(axis=0)
    # Lengths, sizes and dependences that do not occur have no column there.
    assert np.array_equal(runs[:, runs.any(axis=0)], published["glrlm"].sum(axis=2))
    sizes = zones.zone_matrices(zones.zones_of(ranks.padded, mask, in_slices=False), n_levels=n_levels).by_size
    assert np.array_equal(sizes, published["glszm"])
    around = neighbours.neighbourhoods(ranks.padded, ranks.levels, directions=DIRECTIONS_3D)
    dependence = around.dependence[:, around.dependence.any(axis=0)]
    assert np.array_equal(dependence, published["gldm"])
    assert np.array_equal(around.voxels, published["ngtdm"][:, 0])
    assert around.difference == pytest.approx(published["ngtdm"][:, 1])
