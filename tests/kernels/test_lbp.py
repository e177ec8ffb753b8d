from __future__ import annotations

import warnings

import numpy as np
import pytest
from skimage.feature import local_binary_pattern

from medpipe.kernels.lbp import binary_patterns, bins_of

METHODS = {"uniform": "uniform", "rotation_invariant": "ror", "oriented": "nri_uniform"}


def _expected(image: np.ndarray, mask: np.ndarray, kind: str = "uniform", points: int = 8, radius: float = 1.0) -> list:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patterns = np.stack([local_binary_pattern(plane, points, radius, method=METHODS[kind]) for plane in image])
    codes = patterns[mask].astype(int)
    if kind == "rotation_invariant":
        # numbered as the least of the numbers its turns make
        every = [min((bits >> turn | bits << (8 - turn)) % 256 for turn in range(8)) for bits in range(256)]
        codes = np.searchsorted(np.unique(every), codes)
    return np.bincount(codes, minlength=bins_of(kind, points)).tolist()


def _images() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {
        "few values, many ties": rng.integers(0, 3, (3, 40, 33)).astype(np.float32),
        "whole numbers": rng.integers(-1000, 400, (2, 50, 61)).astype(np.float32),
        "fractions": rng.normal(0.0, 1.0, (2, 45, 37)).astype(np.float32),
        "constant, where rounding decides": np.full((1, 300, 280), 0.1, dtype=np.float32),
        "steps": np.kron(rng.normal(size=(1, 30, 20)), np.ones((1, 8, 9))).astype(np.float32),
    }


@pytest.mark.parametrize("name", _images())
def test_the_histogram_equals_scikit_image(name: str) -> None:
    image = _images()[name]
    mask = np.random.default_rng(8).random(image.shape) < 0.7
    assert binary_patterns(image, mask, origin=(0, 0)).tolist() == _expected(image, mask)


@pytest.mark.parametrize("name", _images())
def test_a_crop_with_one_pixel_of_context_changes_nothing(name: str) -> None:
    image = _images()[name]
    mask = np.zeros(image.shape, dtype=bool)
    mask[:, 11:25, 7:19] = True
    crop = (slice(None), slice(10, 26), slice(6, 20))
    assert binary_patterns(image[crop], mask[crop], origin=(10, 6)).tolist() == _expected(image, mask)


@pytest.mark.parametrize("kind", METHODS)
def test_a_missing_pixel_and_what_is_compared_with_it_do_not_count(kind: str) -> None:
    image = _images()["fractions"]
    mask = np.ones(image.shape, dtype=bool)
    holed, compared = image.copy(), mask.copy()
    holed[0, 20, 10] = holed[1, 0, 0] = np.nan
    compared[0, 19:22, 9:12] = compared[1, :2, :2] = False
    assert binary_patterns(holed, mask, origin=(0, 0), patterns=kind).tolist() == _expected(image, compared, kind)


def test_a_peak_and_a_pit_by_hand() -> None:
    image = np.zeros((2, 3, 3), dtype=np.float32)
    image[0, 1, 1], image[1, 1, 1] = 5.0, -5.0
    mask = np.zeros(image.shape, dtype=bool)
    mask[:, 1, 1] = True
    assert binary_patterns(image, mask, origin=(0, 0)).tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("kind", "points", "radius"),
    [("uniform", 16, 2.0), ("uniform", 24, 3.0), ("uniform", 8, 1.5), ("rotation_invariant", 8, 1.0),
     ("rotation_invariant", 8, 2.5), ("oriented", 8, 1.0), ("oriented", 8, 3.0)],
)  # fmt: skip
def test_other_circles_and_patterns_equal_scikit_image_whole_and_cropped(kind: str, points: int, radius: float) -> None:
    reach = int(np.ceil(radius))
    for image in _images().values():
        mask = np.zeros(image.shape, dtype=bool)
        mask[:, 11:25, 7:19] = np.random.default_rng(3).random((image.shape[0], 14, 12)) < 0.8
        expected = _expected(image, mask, kind, points, radius)
        given = {"patterns": kind, "neighbours": points, "radius": radius}
        assert binary_patterns(image, mask, origin=(0, 0), **given).tolist() == expected
        crop = (slice(None), slice(11 - reach, 25 + reach), slice(7 - reach, 19 + reach))
        assert binary_patterns(image[crop], mask[crop], origin=(11 - reach, 7 - reach), **given).tolist() == expected


def test_as_many_patterns_are_told_apart_as_there_are() -> None:
    assert [bins_of("uniform", points) for points in (8, 16, 24)] == [10, 18, 26]
    assert (bins_of("rotation_invariant", 8), bins_of("oriented", 8)) == (36, 59)


def test_a_turn_of_the_image_changes_no_rotation_invariant_pattern() -> None:
    image = np.random.default_rng(2).integers(0, 9, (1, 20, 20)).astype(np.float32)
    mask = np.zeros(image.shape, dtype=bool)
    mask[:, 3:-3, 3:-3] = True
    turned = np.ascontiguousarray(np.rot90(image, axes=(1, 2)))
    for kind, same in (("rotation_invariant", True), ("uniform", True), ("oriented", False)):
        counts = [binary_patterns(one, mask, origin=(0, 0), patterns=kind).tolist() for one in (image, turned)]
        assert (counts[0] == counts[1]) is same
