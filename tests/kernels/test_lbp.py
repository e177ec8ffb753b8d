from __future__ import annotations

import warnings

import numpy as np
import pytest
from skimage.feature import local_binary_pattern

from medpipe.kernels.lbp import BINS, uniform_lbp


def _expected(image: np.ndarray, mask: np.ndarray) -> list[int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patterns = np.stack([local_binary_pattern(plane, 8, 1, method="uniform") for plane in image])
    return np.bincount(patterns[mask].astype(int), minlength=BINS).tolist()


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
    assert uniform_lbp(image, mask, origin=(0, 0)).tolist() == _expected(image, mask)


@pytest.mark.parametrize("name", _images())
def test_a_crop_with_one_pixel_of_context_changes_nothing(name: str) -> None:
    image = _images()[name]
    mask = np.zeros(image.shape, dtype=bool)
    mask[:, 11:25, 7:19] = True
    crop = (slice(None), slice(10, 26), slice(6, 20))
    assert uniform_lbp(image[crop], mask[crop], origin=(10, 6)).tolist() == _expected(image, mask)


def test_a_peak_and_a_pit_by_hand() -> None:
    image = np.zeros((2, 3, 3), dtype=np.float32)
    image[0, 1, 1], image[1, 1, 1] = 5.0, -5.0
    mask = np.zeros(image.shape, dtype=bool)
    mask[:, 1, 1] = True
    assert uniform_lbp(image, mask, origin=(0, 0)).tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 1, 0]
