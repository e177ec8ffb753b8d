"""A head of known shape, seen by two scanners: where a point lies in either is known exactly."""

from __future__ import annotations

import itertools

import numpy as np

from medpipe.types import Geometry, Volume

BALLS = (
    ((20, 5, 10), 12, 300.0),
    ((-22, -8, -12), 14, -700.0),
    ((5, 18, -20), 8, 700.0),
    ((-10, 12, 25), 9, 120.0),
    ((25, -15, -25), 7, -300.0),
)
"""Centre in mm, radius in mm, value."""


def value_at(points):
    """Return the value of the head at points (..., 3) in mm; edges are a millimetre wide."""
    x, y, z = np.moveaxis(points, -1, 0)
    values = -1000 + 1040 * _soft((1 - np.sqrt((x / 55) ** 2 + (y / 40) ** 2 + (z / 50) ** 2)) * 45)
    for centre, radius, value in BALLS:
        share = _soft(radius - np.linalg.norm(points - np.array(centre), axis=-1))
        values = values * (1 - share) + share * value
    return values


def head(shape, spacing_mm, *, motion=None, seed=1, scale=1.0, offset=0.0, frame="a", modality="CT"):
    """Return the head as a scanner sees it whose middle is the origin, after a motion (4, 4) of the head in LPS mm."""
    motion = np.eye(4) if motion is None else motion
    affine = np.diag([*spacing_mm[::-1], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    voxels = np.indices(shape).reshape(3, -1)[::-1]
    points = affine[:3, :3] @ voxels + affine[:3, 3:]
    back = np.linalg.inv(motion)
    values = value_at((back[:3, :3] @ points + back[:3, 3:]).T).reshape(shape)
    noise = np.random.default_rng(seed).normal(0, 10, shape)
    geometry = Geometry(
        shape=shape,
        spacing_mm=tuple(spacing_mm),
        affine_lps=tuple(affine.reshape(-1).tolist()),
        frame_of_reference_key=frame,
    )
    data = (values * scale + offset + noise).astype(np.float32)
    return Volume(data=data, geometry=geometry, modality=modality, unit="HU" if modality == "CT" else "arbitrary")


def motion(angles=(0.0, 0.0, 0.0), shift=(0.0, 0.0, 0.0)):
    """Return a rotation about x, then y, then z (radians), and a shift in mm after it, as (4, 4)."""
    turned = np.eye(3)
    for axis, angle in enumerate(angles):
        one = np.eye(3)
        i, j = [other for other in range(3) if other != axis]
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        turned = one @ turned
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turned, shift
    return matrix


def corners_astray_mm(one, other, *, half_mm=30.0):
    """Return by how far two maps (4, 4) differ at most at the corners of a cube around the origin."""
    corners = np.array([(*place, 1.0) for place in itertools.product((-half_mm, half_mm), repeat=3)])
    return float(np.linalg.norm((corners @ one.T - corners @ other.T)[:, :3], axis=1).max())


def _soft(inside_mm):
    return 1 / (1 + np.exp(-np.clip(inside_mm, -30, 30)))
