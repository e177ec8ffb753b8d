"""Denoisers as arithmetic on whole arrays of NumPy, in float64: what compiled bodies are held against."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def total_variation(x, *, weight, iterations):
    """Return what Chambolle's projection makes of an image in so many steps."""
    tau = 1 / 6
    image = x.astype(np.float64)
    dual = np.zeros((3, *x.shape))
    for _ in range(iterations - 1):
        u = image + _divergence(dual)
        slopes = np.stack([np.diff(u, axis=axis, append=np.take(u, [-1], axis)) for axis in range(3)])
        dual = (dual - tau * slopes) / (1 + tau / weight * np.sqrt((slopes**2).sum(axis=0)))
    return image + _divergence(dual)


def _divergence(dual):
    return -sum(np.diff(part, axis=axis, prepend=0) for axis, part in enumerate(dual))


def non_local_means(x, *, patch_size, distance, h, sigma, rician):
    """Return means over what has surroundings alike, shift by shift; along an axis of one voxel there is nothing."""
    half = [patch_size // 2 * (n > 1) for n in x.shape]
    near = np.ones([2 * distance * (n > 1) + 1 for n in x.shape])
    made = _means(x, half, near, lambda mean: np.maximum(mean - 2 * sigma**2, 0) / h**2, squared=rician)
    return np.sqrt(np.maximum(made - 2 * sigma**2, 0)) if rician else made


def bilateral(x, *, radius, sigma_mm, sigma_value, spacing_mm):
    """Return means over what is near in place, within a radius in voxels, and in value."""
    along = [np.arange(-r, r + 1) * step for r, step in zip(radius, spacing_mm, strict=True)]
    z, y, x_mm = np.meshgrid(*along, indexing="ij")
    near = np.exp(-(z**2 + y**2 + x_mm**2) / (2 * sigma_mm**2))
    return _means(x, (0, 0, 0), near, lambda square: square / (2 * sigma_value**2), squared=False)


def _means(x, half, near, exponent_of, *, squared):
    reach = [n // 2 for n in near.shape]
    wide = np.pad(x.astype(np.float64), [(a + b,) * 2 for a, b in zip(half, reach, strict=True)], mode="reflect")
    values = wide**2 if squared else wide
    around = [n + 2 * by for n, by in zip(x.shape, half, strict=True)]
    here = wide[tuple(slice(by, by + n) for by, n in zip(reach, around, strict=True))]
    total, weights = np.zeros(x.shape), np.zeros(x.shape)
    for shift in np.ndindex(near.shape):
        there = wide[tuple(slice(by, by + n) for by, n in zip(shift, around, strict=True))]
        squares = sliding_window_view((here - there) ** 2, [2 * by + 1 for by in half]).mean(axis=(3, 4, 5))
        weight = near[shift] * np.exp(-exponent_of(squares))
        place = tuple(slice(a + b, a + b + n) for a, b, n in zip(shift, half, x.shape, strict=True))
        total += weight * values[place]
        weights += weight
    return total / weights
