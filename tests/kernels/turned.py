"""Rotations by brute force: whole kernels turned as arrays, convolved as they are."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def rotations(kernel: np.ndarray) -> list[np.ndarray]:
    """Return a kernel (x, y) or (x, y, z) in all rotations by right angles, equal ones too."""
    if kernel.ndim == 2:
        return [np.rot90(kernel, turns) for turns in range(4)]
    found = []
    for facing in ((0, (0, 1)), (1, (0, 1)), (2, (0, 1)), (3, (0, 1)), (1, (0, 2)), (3, (0, 2))):
        front = np.rot90(kernel, facing[0], facing[1])
        found += [np.rot90(front, turns, (1, 2)) for turns in range(4)]
    return found


def product_of(kernels: list) -> np.ndarray:
    """Return the kernel that is a product of others along x, y (and z)."""
    product = np.array(1.0)
    for one in kernels:
        product = np.multiply.outer(product, np.asarray(one))
    return product


def convolved_whole(x: np.ndarray, kernel: np.ndarray, mode: str) -> np.ndarray:
    """Return the convolution of an image (z, y, x) with a kernel (x, y) or (x, y, z)."""
    turned = kernel.T if kernel.ndim == 3 else kernel.T[None]
    return ndimage.convolve(x.astype(np.float64), turned, mode=mode)
