"""The formulas of run-length, zone and dependence matrices, as they are printed, on dense matrices."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

WAYS = ("2D", "2_5D", "3D")

small_levels = arrays(
    np.int64,
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
    elements=st.sampled_from([0, 1, 2, 2, 5, 9]),
)


def sums(m: np.ndarray, n_voxels: int) -> list[float]:
    """Features of a matrix whose rows are levels 1 to n and whose columns are sizes 1 to n."""
    n = m.sum()
    i, j = (axis + 1.0 for axis in np.indices(m.shape))
    p = m / n
    mu_i, mu_j = (i * p).sum(), (j * p).sum()
    of_level, of_size = m.sum(axis=1), m.sum(axis=0)
    values = [
        (m / j**2).sum() / n,
        (m * j**2).sum() / n,
        (m / i**2).sum() / n,
        (m * i**2).sum() / n,
        (m / (i**2 * j**2)).sum() / n,
        (m * i**2 / j**2).sum() / n,
        (m * j**2 / i**2).sum() / n,
        (m * i**2 * j**2).sum() / n,
        (of_level**2).sum() / n,
        (of_level**2).sum() / n**2,
        (of_size**2).sum() / n,
        (of_size**2).sum() / n**2,
        n / n_voxels,
        (p * (i - mu_i) ** 2).sum(),
        (p * (j - mu_j) ** 2).sum(),
        -sum(value * math.log2(value) for value in p[p > 0]),
        (p**2).sum(),
    ]
    return [float(value) for value in values]


def mean(names: tuple[str, ...], rows: list[list[float]]) -> dict[str, float]:
    """Mean of each feature; NaN without a row."""
    if not rows:
        return dict.fromkeys(names, math.nan)
    return {name: float(np.mean(column)) for name, column in zip(names, zip(*rows, strict=True), strict=False)}
