"""Intensity peaks against spheres counted voxel by voxel."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from medpipe.kernels.local_intensity import RADIUS_MM, intensity_peaks, reach


def _mean(image: np.ndarray, centre: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> float:
    inside = [
        image[place]
        for place in itertools.product(*map(range, image.shape))
        if math.dist(
            [step * at for step, at in zip(spacing_mm, place, strict=True)],
            [step * at for step, at in zip(spacing_mm, centre, strict=True)],
        )
        <= RADIUS_MM
        and math.isfinite(image[place])
    ]
    return sum(inside) / len(inside)


def _peaks(image: np.ndarray, region: np.ndarray, spacing_mm: tuple[float, float, float]) -> tuple[float, float]:
    means = {tuple(place): _mean(image, tuple(place), spacing_mm) for place in np.argwhere(region)}
    top = image[region].max()
    return max(mean for place, mean in means.items() if image[place] == top), max(means.values())


@pytest.mark.parametrize("spacing_mm", [(3.0, 2.0, 2.5), (2.0, 4.0, 1.7), (7.0, 3.0, 3.0), (9.0, 9.0, 9.0)])
@pytest.mark.parametrize("seed", range(3))
def test_peaks_are_the_highest_means_of_spheres(seed: int, spacing_mm: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 12, (7, 8, 9)).astype(float)
    region = rng.random(image.shape) < 0.15
    if seed == 2:
        image[rng.random(image.shape) < 0.1] = np.nan
        region &= np.isfinite(image)
    box = tuple(slice(places.min(), places.max() + 1) for places in np.nonzero(region))
    found = intensity_peaks(image, region[box], box=box, spacing_mm=spacing_mm)  # type: ignore[arg-type]
    assert (found["peak_loc"], found["peak_glob"]) == pytest.approx(_peaks(image, region, spacing_mm), rel=1e-12)


def test_what_lies_farther_than_the_sphere_is_not_looked_at() -> None:
    spacing_mm = (2.0, 2.0, 2.0)
    assert reach(spacing_mm) == (3, 3, 3)
    image = np.random.default_rng(1).normal(size=(20, 20, 20))
    region = np.zeros(image.shape, dtype=bool)
    region[8:11, 9:12, 7:12] = True
    box = np.s_[8:11, 9:12, 7:12]
    before = intensity_peaks(image, region[box], box=box, spacing_mm=spacing_mm)
    cut = image[5:14, 6:15, 4:15]
    inner = np.s_[3:6, 3:6, 3:8]
    assert intensity_peaks(cut, region[box], box=inner, spacing_mm=spacing_mm) == before


def test_a_single_voxel_is_its_own_peak_where_voxels_are_large() -> None:
    image = np.full((1, 1, 1), 4.5)
    found = intensity_peaks(image, np.ones((1, 1, 1), dtype=bool), box=np.s_[0:1, 0:1, 0:1], spacing_mm=(9.0, 9.0, 9.0))
    assert found == {"peak_loc": 4.5, "peak_glob": 4.5}
