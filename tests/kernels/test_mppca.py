"""Components of a series: against a made-up series of known rank, and window by window."""

import numpy as np
import pytest

from medpipe.kernels.mppca import mp_pca, noise_components


def series(n_frames=20, shape=(7, 8, 9), rank=3, sigma=5.0, seed=0):
    rng = np.random.default_rng(seed)
    maps = rng.uniform(-100, 100, (rank, *shape))
    clean = np.tensordot(rng.normal(0, 1, (n_frames, rank)), maps, axes=1)
    return clean, (clean + rng.normal(0, sigma, clean.shape)).astype(np.float32)


def window_by_window(x, size):
    """Return the definition: a singular value decomposition of each window on its own."""
    edges = [min(size, n) for n in x.shape[1:]]
    total, weights = np.zeros(x.shape), np.zeros(x.shape[1:])
    for first in np.ndindex(*(n - e + 1 for n, e in zip(x.shape[1:], edges, strict=True))):
        part = tuple(slice(f, f + e) for f, e in zip(first, edges, strict=True))
        matrix = x[(slice(None), *part)].reshape(len(x), -1).astype(np.float64)
        u, s, vt = np.linalg.svd(matrix, full_matrices=False)
        least, most = sorted(matrix.shape)
        rising = s[::-1] ** 2 / most
        n_noise = 0
        for count in range(1, least + 1):
            variance = rising[:count].mean()
            if (rising[count - 1] - rising[0]) / (4 * np.sqrt(count / most)) <= variance:
                n_noise = count
        kept = least - n_noise
        weight = 1 / (1 + kept)
        total[(slice(None), *part)] += weight * ((u[:, :kept] * s[:kept]) @ vt[:kept]).reshape(len(x), *edges)
        weights[part] += weight
    return total / weights


@pytest.mark.parametrize(("n_frames", "shape", "size"), [(6, (4, 5, 6), 3), (30, (3, 4, 4), 3), (5, (1, 6, 7), 5)])
def test_it_is_the_definition_window_by_window(n_frames, shape, size):
    _, x = series(n_frames, shape, rank=2)
    found = mp_pca(x, size=size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, window_by_window(x, size), atol=1e-3)


def test_a_series_of_rank_three_loses_most_of_its_noise_and_nothing_else():
    clean, noisy = series()
    found = mp_pca(noisy, size=5)
    before, after = (np.sqrt(((one - clean) ** 2).mean()) for one in (noisy, found))
    assert before == pytest.approx(5.0, rel=0.02)
    # three of twenty components carry three twentieths of the noise; windows that overlap average some of that
    assert after < 5.0 * np.sqrt(3 / 20) * 1.1
    assert abs((found - clean).mean()) < 0.1


@pytest.mark.parametrize("rank", [0, 2, 6])
def test_the_number_of_components_is_the_rank(rank):
    _, x = (
        series(24, (5, 5, 5), rank=rank, sigma=1.0)
        if rank
        else (None, np.random.default_rng(1).normal(0, 1, (24, 5, 5, 5)))
    )
    matrix = x.reshape(24, -1).astype(np.float64)
    values = np.linalg.eigvalsh(matrix @ matrix.T / 125)
    assert noise_components(values[None], n_frames=24, n_voxels=125).tolist() == [24 - rank]


def test_a_window_with_a_missing_voxel_gives_nothing():
    _, x = series(8, (5, 6, 14))
    holed = x.copy()
    holed[3, 2, 2, 2] = np.nan
    found = mp_pca(holed, size=3)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(holed))
    np.testing.assert_allclose(found[:, :, :, 7:], mp_pca(x, size=3)[:, :, :, 7:], rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(found[:, 2, 2, 2], holed[:, 2, 2, 2])


def test_one_frame_and_a_constant_series_stay():
    constant = np.full((4, 3, 3, 3), 9.0, np.float32)
    np.testing.assert_allclose(mp_pca(constant, size=3), constant, rtol=1e-6)
    one = np.random.default_rng(2).normal(100, 1, (1, 4, 4, 4)).astype(np.float32)
    assert np.isfinite(mp_pca(one, size=3)).all()
