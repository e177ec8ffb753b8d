"""The smallest box and the smallest ellipsoid around points in space."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Sides = tuple[float, float, float]

_TOLERANCE = 1e-4
_MOST_STEPS = 20_000
_SAME_DIRECTION = 1e-6

# Boxes: directions and faces tried, the best of both that are followed, turns tried at each size of angle.
_SPREAD, _FACES, _KEPT, _TURNS = 500, 48, 3, 26
_COORDINATES_AT_ONCE = 1 << 19
_FIRST_ANGLE, _LAST_ANGLE = 0.2, 1e-6


def smallest_box_sides(points: Floats, /) -> Sides:
    """Return the sides of the oriented box of least volume around points.

    Parameters
    ----------
    points : array of float64 (n, 3)
        Points in mm that do not lie in one plane.

    Returns
    -------
    (float, float, float)
        Shortest first, mm.

    Notes
    -----
    The standard allows approximations. Tried are boxes that lie on one of the largest faces of the
    convex hull, each with the rectangle of least area around the hull seen along the face's normal, and boxes in
    directions spread over all rotations; the best of both are turned by ever smaller angles as
    long as they shrink. The directions are the same each time.
    """
    from scipy.spatial import ConvexHull
    from scipy.spatial.transform import Rotation

    corners = points[ConvexHull(points).vertices]
    hull = ConvexHull(corners)
    on_faces = np.stack([_axes_along(corners, normal) for normal in _directions(corners[hull.simplices])])
    spread = Rotation.random(_SPREAD, random_state=0).as_matrix()
    begun = np.concatenate([_best_of(corners, tried, _KEPT) for tried in (on_faces, spread)])
    turns = _turns()
    best = min((_shrunk(corners, axes, turns) for axes in begun), key=math.prod)
    short, middle, long = sorted(best)
    return short, middle, long


def smallest_ellipsoid_semi_axes(points: Floats, /) -> Sides:
    """Return the semi-axes of the ellipsoid of least volume around points.

    Parameters
    ----------
    points : array of float64 (n, 3)
        Points in mm that do not lie in one plane.

    Returns
    -------
    (float, float, float)
        Longest first, mm; all points are inside, and the volume is within 1e-3 of the least.

    Notes
    -----
    Khachiyan's ascent on weights of the points, with steps away from points that weigh too much
    (Todd and Yildirim 2007, doi:10.1016/j.dam.2007.02.013), on the convex hull's corners.
    """
    from scipy.spatial import ConvexHull

    corners = points[ConvexHull(points).vertices]
    middle, scale = corners.mean(axis=0), float(np.ptp(corners, axis=0).max())
    x = (corners - middle) / scale
    lifted = np.column_stack((x, np.ones(len(x))))
    weights = np.full(len(x), 1.0 / len(x))
    for _ in range(_MOST_STEPS):
        moments = lifted.T @ (lifted * weights[:, None])
        # 4 on average over the weights; at the optimum nowhere more, and as much where there is weight
        spread = np.einsum("ij,ij->i", lifted, np.linalg.solve(moments, lifted.T).T)
        high = int(spread.argmax())
        low = int(np.where(weights > 0.0, spread, math.inf).argmin())
        if spread[high] <= 4.0 * (1.0 + _TOLERANCE) and spread[low] >= 4.0 * (1.0 - _TOLERANCE):
            break
        place = high if spread[high] - 4.0 > 4.0 - spread[low] else low
        step = (spread[place] - 4.0) / (4.0 * (spread[place] - 1.0))
        if place == low:
            step = max(step, -weights[low] / (1.0 - weights[low]))
        weights *= 1.0 - step
        weights[place] = max(weights[place] + step, 0.0)
    centre = weights @ x
    covariance = (x - centre).T @ ((x - centre) * weights[:, None])
    reached = np.einsum("ij,ij->i", x - centre, np.linalg.solve(covariance, (x - centre).T).T).max()
    values = np.linalg.eigvalsh(covariance)[::-1] * reached
    long, between, short = (scale * math.sqrt(value) for value in values)
    return long, between, short


def _directions(triangles: Floats) -> Floats:
    """Return the normals of the largest faces made of triangles (n, 3, 3), opposite ones once."""
    a, b, c = triangles.transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    areas = np.linalg.norm(normals, axis=1)
    normals, areas = normals[areas > 0.0], areas[areas > 0.0]
    normals /= areas[:, None]
    places = np.abs(normals).argmax(axis=1)
    normals *= np.sign(normals[np.arange(len(normals)), places])[:, None]
    found, group = np.unique(np.round(normals / _SAME_DIRECTION), axis=0, return_inverse=True)
    largest = np.argsort(-np.bincount(group.ravel(), weights=areas), kind="stable")[:_FACES]
    return np.asarray(found[largest] * _SAME_DIRECTION)


def _axes_along(corners: Floats, direction: Floats) -> Floats:
    """Return the axes (3, 3) of the smallest box with one axis along a direction."""
    from scipy.spatial import ConvexHull

    first = direction / np.linalg.norm(direction)
    second = np.cross(first, np.eye(3)[np.abs(first).argmin()])
    second /= np.linalg.norm(second)
    third = np.cross(first, second)
    flat = np.column_stack((corners @ second, corners @ third))
    # a rectangle of least area lies on an edge of the hull
    outline = ConvexHull(flat)
    edges = outline.equations[:, :2]
    ring = flat[outline.vertices]
    across = np.ptp(ring @ edges.T, axis=0)
    along = np.ptp(ring @ np.column_stack((-edges[:, 1], edges[:, 0])).T, axis=0)
    u, v = edges[int((across * along).argmin())]
    return np.stack((first, u * second + v * third, u * third - v * second))


def _sides(corners: Floats, axes: Floats) -> Floats:
    """Return the sides (n, 3) of the boxes along axes (n, 3, 3)."""
    sides = np.empty((len(axes), 3))
    at_once = max(_COORDINATES_AT_ONCE // (3 * len(corners)), 1)
    for at in range(0, len(axes), at_once):
        part = axes[at : at + at_once]
        sides[at : at + at_once] = np.ptp((part.reshape(-1, 3) @ corners.T).reshape(len(part), 3, -1), axis=2)
    return sides


def _best_of(corners: Floats, tried: Floats, most: int) -> Floats:
    """Return the axes of the smallest boxes."""
    return tried[np.argsort(_sides(corners, tried).prod(axis=1), kind="stable")[:most]]


def _turns() -> Floats:
    """Return rotation vectors within the unit ball, those about one axis among them."""
    vectors = np.random.default_rng(0).uniform(-1.0, 1.0, (_TURNS, 3))
    return np.concatenate((np.eye(3), -np.eye(3), vectors))


def _shrunk(corners: Floats, axes: Floats, turns: Floats) -> tuple[float, ...]:
    """Return the sides of a box turned until it shrinks no more."""
    from scipy.spatial.transform import Rotation

    best, angle = _sides(corners, axes[None])[0], _FIRST_ANGLE
    while angle > _LAST_ANGLE:
        tried = Rotation.from_rotvec(turns * angle).as_matrix() @ axes
        sides = _sides(corners, tried)
        place = int(sides.prod(axis=1).argmin())
        if math.prod(sides[place]) < math.prod(best) * (1.0 - 1e-9):
            best, axes = sides[place], tried[place]
        else:
            angle *= 0.5
    return tuple(map(float, best))
