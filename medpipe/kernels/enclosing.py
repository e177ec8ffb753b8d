"""The smallest box and the smallest ellipsoid around a convex hull."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.mesh import Hull

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Sides = tuple[float, float, float]

_TOLERANCE = 1e-4
_MOST_STEPS = 20_000
_STEPS_AT_ONCE = 100
"""Steps of the ascent after which rounding is cleared away."""

_SAME_DIRECTION = 1e-6

# Boxes: directions and faces tried, the best of both that are followed, turns tried at each size of angle.
_SPREAD, _FACES, _KEPT, _TURNS = 500, 48, 3, 26
_FIRST_ANGLE, _LAST_ANGLE = 0.2, 1e-6
_SMALLER = 1.0 - 1e-9


def smallest_box_sides(hull: Hull, /) -> Sides:
    """Return the sides of the oriented box of least volume around a convex hull.

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
    corners = np.ascontiguousarray(hull.corners)
    on_faces = _axes_along(corners, _directions(corners[hull.faces]))
    begun = np.concatenate([_best_of(corners, tried) for tried in (on_faces, _spread())])
    neighbours = _neighbours(hull.faces, len(corners))
    best = min(
        (_sides(corners, _shrunk(corners, neighbours, axes, _turns())[None])[0] for axes in begun), key=math.prod
    )
    short, middle, long = sorted(map(float, best))
    return short, middle, long


def smallest_ellipsoid_semi_axes(hull: Hull, /) -> Sides:
    """Return the semi-axes of the ellipsoid of least volume around a convex hull.

    Returns
    -------
    (float, float, float)
        Longest first, mm; all corners are inside, and the volume is within 1e-3 of the least.

    Notes
    -----
    Khachiyan's ascent on weights of the corners, with steps away from those that weigh too much
    (Todd and Yildirim 2007, doi:10.1016/j.dam.2007.02.013).
    """
    middle, scale = hull.corners.mean(axis=0), float(np.ptp(hull.corners, axis=0).max())
    x = (hull.corners - middle) / scale
    lifted = np.column_stack((x, np.ones(len(x))))
    weights = np.full(len(x), 1.0 / len(x))
    for _ in range(_MOST_STEPS // _STEPS_AT_ONCE):
        inverse = np.linalg.inv(lifted.T @ (lifted * weights[:, None]))
        # 4 on average over the weights; at the optimum nowhere more, and as much where there is weight
        spread = np.einsum("ij,ij->i", lifted @ inverse, lifted)
        if not _ascend(lifted, weights, inverse, spread):
            break
    centre = weights @ x
    covariance = (x - centre).T @ ((x - centre) * weights[:, None])
    reached = np.einsum("ij,ij->i", x - centre, np.linalg.solve(covariance, (x - centre).T).T).max()
    values = np.linalg.eigvalsh(covariance)[::-1] * reached
    long, between, short = (scale * math.sqrt(value) for value in values)
    return long, between, short


@njit(cache=True, nogil=True)
def _ascend(lifted: Floats, weights: Floats, inverse: Floats, spread: Floats) -> bool:
    """Change weights some times, and the inverse of their moments along; tell whether any step was left to take."""
    for taken in range(_STEPS_AT_ONCE):
        high, low = _ends(weights, spread)
        if spread[high] <= 4.0 * (1.0 + _TOLERANCE) and spread[low] >= 4.0 * (1.0 - _TOLERANCE):
            return taken > 0
        place = high if spread[high] - 4.0 > 4.0 - spread[low] else low
        step = (spread[place] - 4.0) / (4.0 * (spread[place] - 1.0))
        if place == low:
            step = max(step, -weights[low] / (1.0 - weights[low]))
        factor = step / (1.0 - step + step * spread[place])
        weights *= 1.0 - step
        weights[place] = max(weights[place] + step, 0.0)
        across = np.zeros(4)
        for i in range(4):
            for j in range(4):
                across[i] += inverse[i, j] * lifted[place, j]
        for i in range(4):
            for j in range(4):
                inverse[i, j] = (inverse[i, j] - factor * across[i] * across[j]) / (1.0 - step)
        for other in range(weights.size):
            along = 0.0
            for j in range(4):
                along += across[j] * lifted[other, j]
            spread[other] = (spread[other] - factor * along * along) / (1.0 - step)
    return True


@njit(cache=True, nogil=True)
def _ends(weights: Floats, spread: Floats) -> tuple[int, int]:
    """Return where the spread is greatest, and where it is least among corners that have a weight."""
    high = low = -1
    for place in range(weights.size):
        if high < 0 or spread[place] > spread[high]:
            high = place
        if weights[place] > 0.0 and (low < 0 or spread[place] < spread[low]):
            low = place
    return high, low


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


def _axes_along(corners: Floats, directions: Floats) -> Floats:
    """Return the axes (n, 3, 3) of the smallest boxes with one axis along each of some directions (n, 3)."""
    first = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    second = np.cross(first, np.eye(3)[np.abs(first).argmin(axis=1)])
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    third = np.cross(first, second)
    edges = np.empty((len(first), 2))
    for place in range(len(first)):
        flat = corners @ second[place], corners @ third[place]
        edges[place] = _best_edge(np.lexsort(flat[::-1]), *flat)
    u, v = edges[:, :1], edges[:, 1:]
    return np.stack((first, u * second + v * third, u * third - v * second), axis=1)


@njit(cache=True, nogil=True)
def _best_edge(order: Ints, u: Floats, v: Floats) -> tuple[float, float]:
    """Return the normal of the edge of the hull of points that the rectangle of least area lies on.

    ``order`` (n,) are the points by u, those of one u by v.
    """
    ring = np.empty(2 * order.size + 1, dtype=np.int64)
    size = base = 0
    for place in range(2 * order.size - 1):
        one = order[place] if place < order.size else order[2 * order.size - 2 - place]
        if place == order.size:
            base = size - 1
        while size - base >= 2:
            a, b = ring[size - 2], ring[size - 1]
            if (u[b] - u[a]) * (v[one] - v[b]) - (v[b] - v[a]) * (u[one] - u[b]) > 0.0:
                break
            size -= 1
        ring[size] = one
        size += 1
    best, normal = math.inf, (1.0, 0.0)
    for place in range(size - 1):
        across_u, across_v = v[ring[place + 1]] - v[ring[place]], u[ring[place]] - u[ring[place + 1]]
        length = math.hypot(across_u, across_v)
        if length == 0.0:
            continue
        across_u, across_v = across_u / length, across_v / length
        low = along_low = math.inf
        high = along_high = -math.inf
        for other in range(size - 1):
            across = u[ring[other]] * across_u + v[ring[other]] * across_v
            along = v[ring[other]] * across_u - u[ring[other]] * across_v
            low, high = min(low, across), max(high, across)
            along_low, along_high = min(along_low, along), max(along_high, along)
        area = (high - low) * (along_high - along_low)
        if area < best:
            best, normal = area, (across_u, across_v)
    return normal


@njit(cache=True, nogil=True)
def _sides(corners: Floats, axes: Floats) -> Floats:
    """Return the sides (n, 3) of the boxes along axes (n, 3, 3)."""
    sides = np.empty((len(axes), 3))
    for box in range(len(axes)):
        for axis in range(3):
            low, high = math.inf, -math.inf
            a, b, c = axes[box, axis]
            for corner in range(len(corners)):
                at = corners[corner, 0] * a + corners[corner, 1] * b + corners[corner, 2] * c
                low, high = min(low, at), max(high, at)
            sides[box, axis] = high - low
    return sides


def _best_of(corners: Floats, tried: Floats) -> Floats:
    """Return the axes of the smallest boxes."""
    return tried[np.argsort(_sides(corners, tried).prod(axis=1), kind="stable")[:_KEPT]]


@cache
def _spread() -> Floats:
    """Return axes (n, 3, 3) of boxes in all directions."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.random(_SPREAD, random_state=0).as_matrix())


@cache
def _turns() -> Floats:
    """Return rotations (angles, turns, 3, 3) by ever smaller angles, those about one axis among them."""
    from scipy.spatial.transform import Rotation

    vectors = np.random.default_rng(0).uniform(-1.0, 1.0, (_TURNS, 3))
    vectors = np.concatenate((np.eye(3), -np.eye(3), vectors))
    n_angles = math.ceil(math.log2(_FIRST_ANGLE / _LAST_ANGLE))
    angles = [_FIRST_ANGLE * 0.5**halved for halved in range(n_angles)]
    return np.stack([Rotation.from_rotvec(vectors * angle).as_matrix() for angle in angles])


def _neighbours(faces: Ints, n_corners: int) -> tuple[Ints, Ints]:
    """Return the corners that share an edge with each corner, one after the other, and where those of each begin."""
    edges = np.concatenate([faces[:, pair] for pair in ((0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2))])
    keys = np.unique(edges[:, 0] * n_corners + edges[:, 1])
    return keys % n_corners, np.searchsorted(keys, np.arange(n_corners + 1) * n_corners)


@njit(cache=True, nogil=True)
def _shrunk(corners: Floats, neighbours: tuple[Ints, Ints], axes: Floats, turns: Floats) -> Floats:
    """Return the axes of a box turned until it shrinks no more."""
    # the farthest corners along each axis, both ways: from there the way to those of a turned box is short
    ends = np.zeros((3, 2), dtype=np.int64)
    best, angle = math.inf, -1
    now, tried, smallest = axes.copy(), axes.copy(), axes.copy()
    while angle < len(turns):
        least = math.inf
        for turn in range(turns.shape[1] if angle >= 0 else 1):
            if angle >= 0:
                tried[:] = 0.0
                for i in range(3):
                    for j in range(3):
                        for k in range(3):
                            tried[i, k] += turns[angle, turn, i, j] * now[j, k]
            volume = 1.0
            for axis in range(3):
                high, ends[axis, 0] = _climbed(corners, neighbours, tried[axis], 1.0, ends[axis, 0])
                low, ends[axis, 1] = _climbed(corners, neighbours, tried[axis], -1.0, ends[axis, 1])
                volume *= high + low
            if volume < least:
                least = volume
                smallest[:] = tried
        if least < best * _SMALLER:
            best = least
            now[:] = smallest
            angle = max(angle, 0)
        else:
            angle += 1
    return now


@njit(cache=True, nogil=True)
def _climbed(
    corners: Floats, neighbours: tuple[Ints, Ints], along: Floats, sign: float, place: int
) -> tuple[float, int]:
    """Return how far a hull reaches along a direction, and where: from corner to neighbour as long as it is farther."""
    near, starts = neighbours
    z, y, x = sign * along[0], sign * along[1], sign * along[2]
    reach = corners[place, 0] * z + corners[place, 1] * y + corners[place, 2] * x
    while True:
        farther = place
        for at in range(starts[place], starts[place + 1]):
            other = near[at]
            there = corners[other, 0] * z + corners[other, 1] * y + corners[other, 2] * x
            if there > reach:
                reach, farther = there, other
        if farther == place:
            return reach, place
        place = farther
