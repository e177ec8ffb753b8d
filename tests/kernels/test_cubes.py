"""The surface of masks by marching cubes of 128 cases.

Numbers called published are those of pyradiomics 3.0.1 (``cShape.calculate_coefficients``) for the same mask.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import pdist
from skimage.measure import marching_cubes

from medpipe.kernels.cubes import _triangles, cube_surface, vertex_diameters
from medpipe.kernels.mesh import Mesh, mesh_area_mm2, mesh_volume_mm3

SPACING = (2.0, 1.0, 0.5)
PUBLISHED_STRIPES = (182.4320252504, 40.375, 5.3851648071345, 8.3815273071201, 8.9442719099992, 9.1651513899117)
PUBLISHED_COUNTERPART = (195.84641872349, 39.291666666667, *PUBLISHED_STRIPES[2:])
masks = arrays(bool, st.tuples(*[st.integers(1, 5)] * 3)).filter(np.any)


def _ball(radius: float) -> np.ndarray:
    places = np.indices((15, 15, 15)) - 7
    return (places**2).sum(axis=0) <= radius**2


def _stripes() -> np.ndarray:
    z, y, x = np.indices((4, 5, 6))
    return (3 * z + 5 * y + 2 * x + z * x * y) % 4 < 2


def test_one_voxel_is_an_octahedron() -> None:
    found = cube_surface(np.ones((1, 1, 1), bool), spacing_mm=(2.0, 2.0, 2.0))
    assert found.volume_mm3 == pytest.approx(8 / 6)
    assert found.area_mm2 == pytest.approx(math.sqrt(3) * 4)


def test_two_voxels_that_share_a_corner_are_two_octahedra() -> None:
    mask = np.zeros((2, 2, 2), bool)
    mask[0, 1, 0] = mask[1, 0, 1] = True
    assert cube_surface(mask, spacing_mm=(1.0, 1.0, 1.0)).volume_mm3 == pytest.approx(2 / 6)


def test_surfaces_of_random_looking_masks_are_the_published_ones() -> None:
    # gaps in the surface make the volume depend on where the box begins
    stripes = _stripes()
    for mask, published in (
        (stripes, PUBLISHED_STRIPES),
        (~stripes, PUBLISHED_COUNTERPART),
    ):
        box = tuple(slice(side.min(), side.max() + 1) for side in np.nonzero(mask))
        cropped = mask[box]
        area, volume, *diameters = published
        found = cube_surface(cropped, spacing_mm=SPACING)
        assert (found.area_mm2, found.volume_mm3) == pytest.approx((area, volume), rel=1e-10)
        assert tuple(vertex_diameters(cropped, spacing_mm=SPACING)) == pytest.approx(diameters, rel=1e-12)


@pytest.mark.parametrize("radius", [1.5, 3.0, 6.4])
def test_the_surface_of_a_ball_is_that_of_any_marching_cubes(radius: float) -> None:
    mask = _ball(radius)
    vertices, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5, method="lorensen")
    mesh = Mesh(vertices=vertices.astype(np.float64) * SPACING, faces=faces.astype(np.int64))
    found = cube_surface(mask, spacing_mm=SPACING)
    assert found.area_mm2 == pytest.approx(mesh_area_mm2(mesh), rel=1e-6)
    assert found.volume_mm3 == pytest.approx(mesh_volume_mm3(mesh), rel=1e-6)


def test_every_cube_has_triangles_on_all_of_its_cut_edges() -> None:
    case, corners = _triangles()
    places = {4 * z + 2 * y + x: np.array((z, y, x)) for z, y, x in product((0, 1), repeat=3)}
    for one in range(1, 255):
        cut = {
            tuple((places[a] + places[b]) / 2)
            for a, b in product(places, repeat=2)
            if np.abs(places[a] - places[b]).sum() == 1 and (one >> a & 1) > (one >> b & 1)
        }
        assert {tuple(point) for point in corners[case == one].reshape(-1, 3)} == cut


@settings(deadline=None, max_examples=30)
@given(masks)
def test_diameters_are_the_largest_distances_of_all_vertices(mask: np.ndarray) -> None:
    padded = np.pad(mask, 1)
    steps = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    outward = ((place, step) for place in np.argwhere(padded) for step in steps if not padded[tuple(place + step)])
    vertices = np.array([(2 * place + step) / 2 for place, step in outward])
    expected = [
        max(
            (
                float(pdist(vertices[vertices[:, axis] == at] * SPACING).max(initial=0.0))
                for at in set(vertices[:, axis])
            ),
            default=0.0,
        )
        for axis in range(3)
    ]
    expected.append(float(pdist(vertices * SPACING).max()))
    assert tuple(vertex_diameters(mask, spacing_mm=SPACING)) == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(masks)
def test_the_area_does_not_depend_on_where_the_mask_lies(mask: np.ndarray) -> None:
    moved = np.pad(mask, ((2, 0), (1, 3), (0, 1)))
    alone, among = (cube_surface(one, spacing_mm=SPACING).area_mm2 for one in (mask, moved))
    assert among == pytest.approx(alone)
