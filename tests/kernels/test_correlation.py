"""The second singular value against LAPACK's, of matrices small and large, full and nearly empty."""

from __future__ import annotations

import numpy as np
import pytest

from medpipe.kernels.correlation import maximal_correlation


def _expected(matrix: np.ndarray) -> float:
    p = matrix / matrix.sum()
    x, y = p.sum(axis=1), p.sum(axis=0)
    found = np.linalg.svd((p / np.sqrt(np.outer(x, y)))[np.ix_(x > 0, y > 0)], compute_uv=False)
    return float(found[1]) if found.size > 1 else 0.0


def _counts(size: int, most: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    counts = rng.poisson(most * np.exp(-apart / (0.2 * size)))
    # levels that no pair has
    empty = rng.random(size) < 0.1
    counts[empty] = counts[:, empty] = 0
    counts[0, 0] = counts[-1, 0] = 1
    return counts.astype(np.uint32)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("most", [1, 40])
@pytest.mark.parametrize("size", [2, 3, 7, 32, 64, 65])
def test_it_is_the_second_singular_value(size: int, most: int, symmetric: bool) -> None:
    for seed in range(3):
        counts = _counts(size, most, seed)
        matrix = counts + counts.T if symmetric else counts
        assert maximal_correlation(matrix, symmetric=symmetric) == pytest.approx(_expected(matrix), rel=1e-11)
        assert maximal_correlation(matrix * 0.3, symmetric=symmetric) == pytest.approx(_expected(matrix), rel=1e-11)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[4]], 1.0),
        ([[4, 0], [0, 0]], 0.0),
        ([[1, 1], [1, 1]], 0.0),
        ([[3, 0], [0, 1]], 1.0),
        # the other eigenvalue is -1
        ([[0, 5], [5, 0]], 1.0),
        # two parts that have no pair in common, one of them of two equal levels
        ([[2, 2, 0], [2, 2, 0], [0, 0, 1]], 1.0),
        ([[9, 1], [1, 9]], 0.8),
    ],
)
def test_matrices_whose_value_is_known(matrix: list[list[int]], expected: float) -> None:
    found = maximal_correlation(np.array(matrix, dtype=np.uint32), symmetric=True)
    assert found == pytest.approx(expected, abs=1e-14)
