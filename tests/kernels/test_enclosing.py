"""The smallest box and ellipsoid against shapes whose own are known, and against many tries."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from medpipe.kernels import enclosing
from medpipe.kernels.mesh import convex_hull

CUBE = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))


def smallest_box_sides(points: np.ndarray) -> tuple[float, float, float]:
    return enclosing.smallest_box_sides(convex_hull(points))


def smallest_ellipsoid_semi_axes(points: np.ndarray) -> tuple[float, float, float]:
    return enclosing.smallest_ellipsoid_semi_axes(convex_hull(points))


def _turned(points: np.ndarray, seed: int) -> np.ndarray:
    return Rotation.random(random_state=seed).apply(points) + 7.0


@pytest.mark.parametrize("seed", range(5))
def test_a_turned_box_is_its_own_smallest_box(seed: int) -> None:
    inside = np.random.default_rng(seed).uniform(-1.0, 1.0, (50, 3))
    points = np.concatenate((CUBE, inside)) * (1.5, 4.0, 2.5)
    assert smallest_box_sides(_turned(points, seed)) == pytest.approx((3.0, 5.0, 8.0))


def test_an_octahedron_has_a_box_that_lies_on_edges_alone() -> None:
    points = np.concatenate((np.eye(3), -np.eye(3)))
    turns = Rotation.random(200_000, random_state=1).as_matrix()
    best = np.ptp(turns @ points.T, axis=2).prod(axis=1).min()
    assert math.prod(smallest_box_sides(points)) <= best
    assert math.prod(smallest_box_sides(points)) == pytest.approx(best, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_no_box_that_is_tried_is_smaller(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(60, 3)) * rng.uniform(0.5, 3.0, 3)
    found = math.prod(smallest_box_sides(points))
    turns = Rotation.random(4000, random_state=seed).as_matrix()
    assert found <= np.ptp(turns @ points.T, axis=2).prod(axis=1).min()
    assert found < math.prod(np.ptp(points, axis=0)) * (1.0 + 1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_ellipsoid_of_a_stretched_cube_goes_through_its_corners(seed: int) -> None:
    sides = np.array((5.0, 3.0, 1.0))
    inside = np.random.default_rng(seed).uniform(-1.0, 1.0, (50, 3))
    points = np.concatenate((CUBE, inside)) * sides
    assert smallest_ellipsoid_semi_axes(_turned(points, seed)) == pytest.approx(math.sqrt(3.0) * sides, rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_an_ellipsoid_is_found_from_points_on_it(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(2000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = smallest_ellipsoid_semi_axes(_turned(points * (4.0, 2.0, 3.0), seed))
    assert found == pytest.approx((4.0, 3.0, 2.0), rel=5e-3)


def test_a_regular_tetrahedron_has_a_sphere() -> None:
    points = np.array([(1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0)])
    assert smallest_ellipsoid_semi_axes(points) == pytest.approx([math.sqrt(3.0)] * 3, rel=1e-3)
