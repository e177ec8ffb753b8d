"""The features of pyradiomics against its own numbers.

``pyradiomics_3_0_1.csv`` holds what its version 3.0.1 (NumPy 1.26, SimpleITK 2.5) gives for the image and mask made
here, a column for each of :data:`SETTINGS`; the baselines beside the reference data are those it was published with.
"""

from __future__ import annotations

import ast
import csv
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.directions import directions_at
from medpipe.kernels.discretise import anchored_bins
from medpipe.kernels.pairs import pair_matrices
from medpipe.kernels.ranks import ranks_of
from medpipe.ops.features import Pyradiomics
from medpipe.ops.parameters import build
from medpipe.ops.pyradiomics_columns import FEATURES
from medpipe.types import Geometry, Region, Volume

SHAPE = (8, 11, 10)
SPACING = (2.5, 0.9, 1.1)
SETTINGS: dict[str, dict[str, Any]] = {
    "width 40": {},
    "width 7.3": {"bin_width": 7.3},
    "count 16": {"bins": 16},
    "force2D z": {"force_2d": "z"},
    "force2D y": {"force_2d": "y"},
    "force2D x asymmetric": {"force_2d": "x", "symmetric": False},
    "distances 1 2": {"distances": (1, 2)},
    "distance 3 gldm_a 1": {"distances": (3,), "gldm_within": 1},
    "infinity": {"weighting": "infinity"},
    "euclidean asymmetric": {"weighting": "euclidean", "symmetric": False},
    "manhattan gldm_a 2": {"weighting": "manhattan", "gldm_within": 2},
    "no_weighting": {"weighting": "no_weighting"},
    "resampled": {"resample_mm": (2.1, 1.7, 1.3)},
    "resampled in plane linear": {"resample_mm": (0.0, 1.4, 2.0), "interpolator": "linear"},
    "resampled half-way": {"resample_mm": (1.0, 0.9, 1.1)},
    "resampled half-way padded": {"resample_mm": (1.0, 0.9, 1.1), "pad_voxels": 2},
    "normalized": {"bin_width": 20.0, "normalize": True, "normalize_scale": 100.0, "energy_shift": 300.0},
    "normalized limited resampled": {
        "bin_width": 20.0,
        "normalize": True,
        "normalize_scale": 100.0,
        "outlier_limit": 1.2,
        "resample_mm": (2.0, 2.0, 2.0),
    },
    "range": {"range": (-60.0, 120.0)},
    "range of shape too": {"range": (0.0,), "range_shape": True},
    "range sigma": {"range": (-1.0, 1.0), "range_mode": "sigma"},
    "range relative": {"range": (0.1, 0.8), "range_mode": "relative"},
}
NAMED = {
    "binWidth": "bin_width",
    "binCount": "bins",
    "normalize": "normalize",
    "normalizeScale": "normalize_scale",
    "resegmentMode": "range_mode",
    "weightingNorm": "weighting",
    "voxelArrayShift": "energy_shift",
}
EARLIER_MESH = {"MeshVolume", "Sphericity", "SurfaceArea", "SurfaceVolumeRatio"}
"""Of brain1 they were published with version 2.0.1b1, whose mesh differs from all later ones where cubes are ambiguous."""


def _image() -> np.ndarray:
    z, y, x = np.indices(SHAPE)
    waves = 90 * np.sin(0.9 * z + 0.2 * y) + 80 * np.cos(0.7 * y + 0.3 * x)
    return np.rint(waves + 60 * np.sin(0.37 * x * y) + 50 * np.cos(1.3 * z * x)).astype(np.float32)


def _mask() -> np.ndarray:
    z, y, x = np.indices(SHAPE)
    ball = ((z - 3.5) / 3.4) ** 2 + ((y - 5) / 4.6) ** 2 + ((x - 4.5) / 4.2) ** 2 < 1
    return ball & ((z * y + 2 * x + y) % 7 != 0)


def _volume(data: np.ndarray, spacing_mm: tuple[float, ...] | None = SPACING) -> Volume:
    geometry = Geometry(shape=data.shape, spacing_mm=spacing_mm)  # type: ignore[arg-type]  # three of them
    return Volume(data=data.astype(np.float32), geometry=geometry)


def _measured(mask: np.ndarray, data: np.ndarray | None = None, **given: Any) -> dict[str, float]:
    op = Pyradiomics(**{"bin_width": 40.0, "names": "pyradiomics", **given})
    return dict(op(_volume(_image() if data is None else data), Region(mask=mask, name="roi_1")))


def _columns(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as lines:
        rows = list(csv.reader(lines))
    return {name: {row[0]: row[place] for row in rows[1:]} for place, name in enumerate(rows[0]) if place}


@pytest.mark.parametrize("setting", SETTINGS)
def test_all_107_features_are_those_of_pyradiomics(setting: str) -> None:
    published = _columns(Path(__file__).with_name("pyradiomics_3_0_1.csv"))[setting]
    expected = {name: float(value) for name, value in published.items()}
    assert len(expected) == 107
    assert _measured(_mask(), **SETTINGS[setting]) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@cache
def _case(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    image, labels = (sitk.ReadImage(folder / f"{name}_{part}.nrrd") for part in ("image", "label"))
    spacing_mm = tuple(reversed(image.GetSpacing()))
    return sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(labels) == 1, spacing_mm


def _op(family: str, settings: dict[str, Any]) -> Pyradiomics:
    given = {NAMED[name]: value for name, value in settings.items() if name in NAMED and value}
    if settings.get("resampledPixelSpacing"):
        given["resample_mm"] = settings["resampledPixelSpacing"][::-1]
    if settings.get("resegmentRange"):
        given["range"] = settings["resegmentRange"]
    if settings.get("force2D"):
        given["force_2d"] = "z"
    return build(Pyradiomics, {"families": [family], "names": "pyradiomics", **given}, "settings")


BASELINES = ("firstorder", "shape", "shape2D", "glcm", "glrlm", "glszm", "gldm", "ngtdm")


@pytest.mark.data
@pytest.mark.parametrize("family", BASELINES)
def test_real_masks_have_the_published_baselines(data_root: Path, family: str) -> None:
    folder = data_root / "radiomics"
    columns = _columns(folder / "baseline" / f"baseline_{family}.csv")
    for name, column in columns.items():
        case = name.partition("_")[0]
        image, mask, spacing_mm = _case(folder, case)
        if family == "shape2D":
            # of the one slice that the mask of this test holds
            place = int(float(column["diagnostics_Mask-corrected_CenterOfMassIndex"].strip("()").split(", ")[2]))
            mask = mask & (np.arange(len(mask)) == place)[:, None, None]
        expected = {key: float(value) for key, value in column.items() if key.startswith("original_")}
        op = _op(family, ast.literal_eval(column["diagnostics_Configuration_Settings"]))
        found = dict(op(_volume(image, spacing_mm), Region(mask=mask, name="roi_1")))
        assert found.keys() == expected.keys()
        earlier = {f"original_shape_{feature}" for feature in EARLIER_MESH} if name == "brain1" else set()
        kept = expected.keys() - earlier
        assert {key: found[key] for key in kept} == pytest.approx(
            {key: expected[key] for key in kept}, rel=1e-9, abs=1e-9
        ), name
        assert all(found[key] == pytest.approx(expected[key], rel=1e-3) for key in earlier & found.keys())


@pytest.mark.data
@pytest.mark.parametrize("name", ["brain1", "breast1"])
def test_pairs_of_a_real_mask_are_those_of_the_published_matrix(data_root: Path, name: str) -> None:
    folder = data_root / "radiomics"
    image, mask, _ = _case(folder, name)
    box = tuple(slice(side.min(), side.max() + 1) for side in np.nonzero(mask))
    levels = np.zeros(mask[box].shape, dtype=np.int64)
    levels[mask[box]] = anchored_bins(image[box][mask[box]].astype(np.float64), width=25.0)
    ranks = ranks_of(levels)
    steps = directions_at((1,), flat_axis=None)
    matrices = pair_matrices(ranks.padded, ranks.levels.size, directions=steps)
    found = [(matrix + matrix.T) / (2.0 * matrix.sum()) for matrix in matrices]
    # the last direction comes first there
    published = np.load(folder / "baseline" / f"{name}_glcm.npy")
    assert np.array_equal(np.moveaxis(np.array(found[::-1]), 0, 2), published)


def test_shape_is_measured_without_an_intensity_and_intensity_without_spacing() -> None:
    found = dict(Pyradiomics(bin_width=40.0)(_volume(_image(), None), Region(mask=_mask(), name="roi_1")))
    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined == {name for name in found if "_shape_" in name} | {"pr_firstorder_total_energy"}


@pytest.mark.parametrize("given", [{}, {"resample_mm": (2.1, 1.7, 1.3)}, {"force_2d": "x", "symmetric": False}])
def test_slices_count_in_the_order_of_the_file(given: dict[str, Any]) -> None:
    op = Pyradiomics(bin_width=40.0, **given)
    as_stored = op(_volume(_image()), Region(mask=_mask(), name="roi_1"))
    turned = replace(_volume(_image()[::-1]), stored_reversed=True)
    assert op(turned, Region(mask=_mask()[::-1], name="roi_1")) == as_stored
    assert op(replace(turned, stored_reversed=False), Region(mask=_mask()[::-1], name="roi_1")) != as_stored


# degenerate regions


def _one(*places: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(zip(*places, strict=True))] = True
    return mask


def test_an_empty_region_has_no_value() -> None:
    assert all(math.isnan(value) for value in _measured(np.zeros(SHAPE, bool)).values())


@pytest.mark.parametrize("places", [[(3, 4, 5)], [(3, 4, 5), (3, 4, 6)]], ids=["voxel", "line"])
def test_a_voxel_and_by_default_a_line_are_too_small(places: list[tuple[int, int, int]]) -> None:
    with pytest.raises(Rejected, match="SMALL_ROI"):
        _measured(_one(*places))


def test_a_line_may_be_asked_for() -> None:
    found = _measured(_one((3, 4, 5), (3, 4, 6)), least_dimensions=1)
    assert found["original_shape_Flatness"] == 0.0
    assert not any(math.isinf(value) for value in found.values())
    with pytest.raises(Rejected, match="SMALL_ROI"):
        _measured(_one((3, 4, 5)), least_dimensions=1)


def test_two_voxels_that_touch_nowhere_have_no_pair() -> None:
    found = _measured(_one((1, 2, 3), (1, 8, 7)))
    assert math.isnan(found["original_glcm_Contrast"])
    assert math.isnan(found["original_glrlm_RunEntropy"])
    assert found["original_ngtdm_Coarseness"] == 1e6
    assert found["original_glszm_ZonePercentage"] == 1.0


def test_a_constant_region_has_the_values_of_one_level() -> None:
    found = _measured(_mask(), np.full(SHAPE, 57.0))
    told = {
        "firstorder_Entropy": 0.0,
        "firstorder_Uniformity": 1.0,
        "firstorder_Kurtosis": 0.0,
        "glcm_Correlation": 1.0,
        "glcm_Imc1": 0.0,
        "glcm_Imc2": 0.0,
        "glcm_MCC": 1.0,
        "glcm_JointEnergy": 1.0,
        "ngtdm_Coarseness": 1e6,
        "ngtdm_Contrast": 0.0,
        "ngtdm_Strength": 0.0,
    }
    assert {name: found[f"original_{name}"] for name in told} == told
    assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize(
    "mask",
    [
        np.arange(SHAPE[0])[:, None, None] + np.zeros(SHAPE) == 4,
        np.ones(SHAPE, bool),
        (np.indices(SHAPE) % 4 < 2).all(axis=0),
    ],
    ids=["planar", "touching the border", "several components"],
)
@pytest.mark.parametrize("given", [{}, {"resample_mm": (2.0, 2.0, 2.0)}, {"force_2d": "z"}])
def test_odd_regions_have_finite_values(mask: np.ndarray, given: dict[str, Any]) -> None:
    assert all(math.isfinite(value) for value in _measured(mask, **given).values())


def test_missing_voxels_take_no_part_in_intensities() -> None:
    data = _image()
    data[3, 5, 5] = np.nan
    whole, holed = _measured(_mask()), _measured(_mask(), data)
    without = _mask()
    without[3, 5, 5] = False
    assert _mask()[3, 5, 5]
    for name, value in _measured(without).items():
        assert holed[name] == pytest.approx(whole[name] if "_shape_" in name else value), name
    with pytest.raises(Rejected, match="EMPTY_ROI"):
        _measured(_mask(), np.full(SHAPE, np.nan))


@pytest.mark.parametrize("given", [{}, {"interpolator": "linear", "whole_numbers": True}], ids=["spline", "whole"])
def test_voxels_that_are_missing_elsewhere_do_not_take_those_of_a_region_along(given: dict[str, Any]) -> None:
    data, mask = np.tile(_image(), (1, 1, 3)), np.zeros((8, 11, 30), bool)
    mask[2:6, 3:8, 2:9] = True
    holed = data.copy()
    holed[:, :, 22:] = np.nan
    settings = {"resample_mm": (2.0, 1.0, 1.0), "families": ("firstorder",), "whole_numbers": False, **given}
    whole, found = _measured(mask, data, **settings), _measured(mask, holed, **settings)
    # SimpleITK's own result where nothing is missing
    assert found == pytest.approx(whole, rel=1e-4)
    # what is missing is left out, and no number stands for it
    mask[2:6, 3:8, 15:25] = True
    limits = [_measured(mask, holed, **settings)[f"original_firstorder_{name}"] for name in ("Minimum", "Maximum")]
    assert np.abs(limits).max() < 1.3 * np.abs(data).max()
    with pytest.raises(Rejected, match="EMPTY_ROI"):
        _measured(mask, np.full(data.shape, np.nan), **settings)


def test_nothing_within_the_thresholds_is_an_empty_region() -> None:
    with pytest.raises(Rejected, match="EMPTY_ROI"):
        _measured(_mask(), range=(9000.0,))
    with pytest.raises(Rejected, match="SMALL_ROI"):
        _measured(_mask(), least_voxels=int(_mask().sum()))


def test_what_cannot_be_prepared_is_refused_by_code() -> None:
    with pytest.raises(Rejected, match="E_CONSTANT"):
        _measured(_mask(), np.zeros(SHAPE), normalize=True)
    region = Region(mask=_mask(), name="roi_1")
    resampled = Pyradiomics(resample_mm=(2.0, 2.0, 2.0))
    with pytest.raises(Rejected, match="NO_SPACING"):
        resampled(_volume(_image(), None), region)
    uneven = _volume(_image())
    positions = (0.0, 2.5, 5.0, 7.5, 10.0, 12.5, 15.0, 17.6)
    uneven = replace(uneven, geometry=replace(uneven.geometry, slice_positions_mm=positions))
    with pytest.raises(Rejected, match="W_UNEVEN"):
        resampled(uneven, region)
    with pytest.raises(Rejected, match="E_LEVELS"):
        _measured(_mask(), bin_width=1e-3)
    with pytest.raises(Rejected, match="E_LEVELS"):
        _measured(_mask(), _image() * np.float32(1e30), families=("firstorder",))


def test_interpolated_whole_numbers_are_whole_if_the_image_is() -> None:
    given = {"resample_mm": (2.0, 2.0, 2.0), "families": ("firstorder",)}
    minimum = "original_firstorder_Minimum"
    assert _measured(_mask(), **given)[minimum].is_integer()
    assert not _measured(_mask(), **given, whole_numbers=False)[minimum].is_integer()
    assert not _measured(_mask(), _image() + 0.25, **given)[minimum].is_integer()


# parameters and columns


@pytest.mark.parametrize(
    "given",
    [
        {"families": []},
        {"families": ["glcm", "glcm"]},
        {"families": ["gldzm"]},
        {"families": ["shape2D"]},
        {"features": ["glcm_Dissimilarity"]},
        {"families": ["shape"], "features": ["glcm_Contrast"]},
        {"resample_mm": [0, 0, 0]},
        {"interpolator": "cubic"},
        {"range": [1, 2, 3]},
        {"distances": []},
        {"distances": [1, 1]},
        {"distances": [0]},
        {"bin_width": 0},
        {"least_dimensions": 0},
    ],
)
def test_parameters_that_do_not_fit_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"route\.0\.features\.0"):
        build(Pyradiomics, given, "route.0.features.0")


def test_columns_bear_names_of_medpipe_or_those_of_pyradiomics() -> None:
    own, theirs = Pyradiomics().columns, Pyradiomics(names="pyradiomics").columns
    assert len(own) == len({column.name for column in own}) == 107
    assert [column.alias for column in own] == [column.name for column in theirs]
    assert {"pr_glcm_joint_entropy", "pr_shape_maximum2d_diameter_slice", "pr_firstorder_10_percentile"} < {
        column.name for column in own
    }
    assert all(name.name.islower() for name in own)


def test_only_features_that_are_named_have_a_column() -> None:
    op = Pyradiomics(families=("ngtdm", "glcm"), features=("glcm_MCC", "glcm_Contrast"))
    names = [column.name for column in op.columns]
    assert names == ["pr_glcm_contrast", "pr_glcm_mcc", *(f"pr_ngtdm_{one.name.lower()}" for one in FEATURES["ngtdm"])]
    assert list(op(_volume(_image()), Region(mask=_mask(), name="roi_1"))) == names


def test_the_dictionary_says_which_columns_are_made_as_the_standard_says() -> None:
    def told(**given: Any) -> dict[str, tuple[str, str]]:
        op = Pyradiomics(names="pyradiomics", **given)
        return {
            column.name.removeprefix("original_"): (op.compliance_of(column), op.discretisation_of_column(column))
            for column in op.columns
        }

    by_width, by_count = told(), told(bins=32)
    size = "fixed bin size 25 from a multiple of it"
    assert by_width["firstorder_Mean"] == ("ibsi", "")
    assert by_width["firstorder_Kurtosis"] == ("deviates", "")
    assert by_width["firstorder_Entropy"] == ("deviates", size)
    assert by_width["glcm_Contrast"] == ("deviates", size)
    assert by_width["glcm_MCC"] == ("none", size)
    assert by_count["glcm_Contrast"] == ("ibsi", "fixed bin number 32")
    assert by_count["ngtdm_Contrast"][0] == "deviates"
    assert by_count["shape_Maximum3DDiameter"] == ("ibsi", "")
    assert told(bins=32, resample_mm=(2.0, 2.0, 2.0))["firstorder_Mean"][0] == "deviates"
    assert told(bins=32, normalize=True)["shape_VoxelVolume"][0] == "ibsi"
    assert told(bins=32, distances=(2,))["gldm_GrayLevelVariance"][0] == "deviates"
