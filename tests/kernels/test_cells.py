"""Sums over cells against NumPy's of whole arrays."""

from __future__ import annotations

import numpy as np
import pytest

from medpipe.kernels import cells
from medpipe.kernels.cells import cell_sums, cells_of, group_sums, groups_of


def matrices(n: int, k: int, most: int) -> np.ndarray:
    rng = np.random.default_rng(n * k)
    counts = rng.integers(0, most, (n, k, k)) * (rng.random((n, k, k)) < 0.6)
    return (counts + counts.transpose(0, 2, 1)).astype(np.uint32)


@pytest.mark.parametrize("keys", [np.array([4.0, 0, 4, 2, 0, 4]), np.array([300_000.0, 7, 7, 300_000, 12, 7])])
def test_groups_are_the_distinct_keys(keys):
    groups = groups_of(keys)
    distinct, of_cell = np.unique(keys, return_inverse=True)
    assert groups.keys.tolist() == distinct.tolist()
    assert groups.of_cell.tolist() == of_cell.tolist()
    assert groups.order.tolist() == np.argsort(keys, kind="stable").tolist()


@pytest.mark.parametrize("n_keys", [1, 3, 40])
def test_sums_by_key_are_those_of_numpy_to_the_last_bit(n_keys):
    rng = np.random.default_rng(n_keys)
    keys, p = rng.integers(0, n_keys, 1000).astype(float), rng.random((3, 1000))
    order = np.argsort(keys, kind="stable")
    starts = np.unique(keys[order], return_index=True)[1]
    assert (group_sums(p, groups_of(keys)) == np.add.reduceat(p[:, order], starts, axis=1)).all()


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("most", [5, 3 * cells._LOGARITHMS])
def test_sums_over_cells_are_those_of_whole_arrays(n, most):
    counts = matrices(n, 12, most)
    rows, columns = np.nonzero(counts.any(axis=0))
    found = cells_of(counts, rows, columns)
    assert (found == counts[:, rows, columns]).all()
    p = found / counts.sum(axis=(1, 2))[:, None]
    levels = np.arange(1.0, 13.0)
    sums = groups_of(levels[rows] + levels[columns])
    deviation, spread = levels - 5.0 - np.arange(n)[:, None], sums.keys - 9.0 - np.arange(n)[:, None]
    powers = np.stack([spread**2, spread**3, spread**4])
    whole = spread[:, sums.of_cell]
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.where(p > 0.0, p * np.log2(p), 0.0).sum(axis=1)
    expected = [
        (p * deviation[:, rows] * deviation[:, columns]).sum(axis=1),
        (p**2).sum(axis=1),
        *((p * whole**power).sum(axis=1) for power in (2, 3, 4)),
        information,
    ]
    made = cell_sums(found, p, (rows, columns, sums.of_cell), deviation, powers)
    np.testing.assert_allclose(made, expected, rtol=1e-12, atol=1e-12)
