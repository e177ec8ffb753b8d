from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from skimage.measure import mesh_surface_area

from medpipe.kernels.mesh import (
    convex_hull,
    largest_distance_mm,
    mask_surface,
    mesh_area_mm2,
    mesh_volume_mm3,
    outer_vertices_mm,
    surface_mesh,
)

SPACING = (2.0, 0.7, 1.1)


def _ball(radius: int) -> np.ndarray:
    z, y, x = np.ogrid[-radius - 1 : radius + 2, -radius - 1 : radius + 2, -radius - 1 : radius + 2]
    return z * z + y * y + x * x <= radius * radius


def _blob(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((6, 7, 5)) < 0.4


def test_a_voxel_becomes_an_octahedron() -> None:
    mesh = surface_mesh(np.ones((1, 1, 1), dtype=bool), spacing_mm=(2.0, 2.0, 2.0))
    assert mesh_volume_mm3(mesh) == pytest.approx(8.0 / 6.0)
    assert mesh_area_mm2(mesh) == pytest.approx(math.sqrt(3.0) * 4.0)


@pytest.mark.parametrize("seed", range(5))
def test_every_edge_belongs_to_two_triangles_or_more_pairs(seed: int) -> None:
    mesh = surface_mesh(_blob(seed), spacing_mm=SPACING)
    edges = Counter(
        tuple(sorted((int(face[a]), int(face[b])))) for face in mesh.faces for a, b in ((0, 1), (1, 2), (2, 0))
    )
    assert all(times % 2 == 0 for times in edges.values())


@pytest.mark.parametrize("density", [0.1, 0.5, 0.9])
def test_sizes_by_cubes_are_those_of_the_mesh(density: float) -> None:
    # of so many voxels every case of a cube is there
    mask = np.random.default_rng(2).random((14, 15, 16)) < density
    mesh = surface_mesh(mask, spacing_mm=SPACING)
    found = mask_surface(mask, spacing_mm=SPACING)
    assert found.area_mm2 == pytest.approx(mesh_surface_area(mesh.vertices, mesh.faces), rel=1e-12)
    assert found.volume_mm3 == pytest.approx(mesh_volume_mm3(mesh), rel=1e-12)


@pytest.mark.parametrize("mask", [_ball(5), _blob(1), np.ones((1, 1, 1), dtype=bool), np.eye(4, dtype=bool)[None]])
def test_the_outer_vertices_have_the_hull_of_all(mask: np.ndarray) -> None:
    vertices = surface_mesh(mask, spacing_mm=SPACING).vertices
    points = outer_vertices_mm(mask, spacing_mm=SPACING)
    assert {tuple(point) for point in points.round(9)} <= {tuple(point) for point in vertices.round(9)}
    assert ConvexHull(points).volume == pytest.approx(ConvexHull(vertices).volume, rel=1e-12)
    assert ConvexHull(points).area == pytest.approx(ConvexHull(vertices).area, rel=1e-12)


def test_a_ball_has_the_size_of_a_ball() -> None:
    mesh = surface_mesh(_ball(20), spacing_mm=(0.5, 0.5, 0.5))
    assert mesh_volume_mm3(mesh) == pytest.approx(4 / 3 * math.pi * 10**3, rel=0.01)
    assert largest_distance_mm(mesh.vertices) == pytest.approx(20.0, rel=0.03)


def test_the_area_equals_scikit_image() -> None:
    mesh = surface_mesh(_ball(6), spacing_mm=SPACING)
    assert mesh_area_mm2(mesh) == pytest.approx(mesh_surface_area(mesh.vertices, mesh.faces), rel=1e-12)


def test_the_volume_does_not_depend_on_the_place() -> None:
    mask = _ball(4)
    moved = np.pad(mask, ((30, 0), (0, 9), (50, 1)))
    assert mesh_volume_mm3(surface_mesh(moved, spacing_mm=SPACING)) == pytest.approx(
        mesh_volume_mm3(surface_mesh(mask, spacing_mm=SPACING)), rel=1e-12
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_hull_reaches_as_far_as_all_pairs(seed: int) -> None:
    mesh = surface_mesh(_blob(seed), spacing_mm=SPACING)
    hull = convex_hull(mesh.vertices)
    assert largest_distance_mm(hull.corners) == pytest.approx(pdist(mesh.vertices).max(), rel=1e-12)
    assert hull.volume_mm3 >= mesh_volume_mm3(mesh)


def test_distances_of_many_points_are_the_same_block_by_block() -> None:
    points = np.random.default_rng(3).normal(size=(1500, 3))
    assert largest_distance_mm(points) == pytest.approx(pdist(points).max(), rel=1e-12)
