"""Filters of speckle against their formulas, voxel by voxel."""

import numpy as np
import pytest

from medpipe.errors import Rejected
from medpipe.kernels.speckle import lee, speckle_of, srad


def speckled(shape, speckle=0.25, seed=0):
    rng = np.random.default_rng(seed)
    clean = 80.0 + 60.0 * (np.indices(shape).sum(0) // 9 % 2)
    return (clean * np.maximum(1 + rng.normal(0, speckle, shape), 0.05)).astype(np.float32)


def lee_by_definition(x, size, speckle):
    half = [size // 2 if n > 1 else 0 for n in x.shape]
    padded = np.pad(x.astype(np.float64), [(h, h) for h in half], mode="edge")
    result = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        window = padded[tuple(slice(p, p + 2 * h + 1) for p, h in zip(place, half, strict=True))]
        mean, varied = window.mean(), window.std() / window.mean()
        weight = max(0.0, 1 - speckle**2 / varied**2) if varied > 0 else 0.0
        result[place] = mean + weight * (x[place] - mean)
    return result


@pytest.mark.parametrize(("shape", "size"), [((5, 9, 10), 3), ((1, 12, 11), 5), ((3, 8, 1), 7)])
def test_lee_weighs_mean_and_voxel(shape, size):
    x = speckled(shape)
    np.testing.assert_allclose(lee(x, size=size, speckle=0.2), lee_by_definition(x, size, 0.2), rtol=1e-5)


def srad_by_definition(x, *, speckle, decay, iterations, step):
    """Yu and Acton's scheme in a plane, with its divisions by the voxel."""
    u = x.astype(np.float64)
    for done in range(iterations):
        q0 = speckle * np.exp(-decay * done * step)
        wide = np.pad(u, 1, mode="edge")
        north, south = wide[:-2, 1:-1] - u, wide[2:, 1:-1] - u
        west, east = wide[1:-1, :-2] - u, wide[1:-1, 2:] - u
        gradient = (north**2 + south**2 + west**2 + east**2) / u**2
        laplacian = (north + south + west + east) / u
        q = (gradient / 2 - laplacian**2 / 16) / (1 + laplacian / 4) ** 2
        c = np.clip(1 / (1 + (q - q0**2) / (q0**2 * (1 + q0**2))), 0, 1)
        c = np.pad(c, 1, mode="edge")
        here = c[1:-1, 1:-1]
        u = u + step / 4 * (c[2:, 1:-1] * south + here * north + c[1:-1, 2:] * east + here * west)
    return u


def test_srad_in_a_plane_is_what_yu_and_acton_say():
    x = speckled((1, 20, 23))
    settings = {"speckle": 0.25, "decay": 1 / 6, "iterations": 6, "step": 0.3}
    np.testing.assert_allclose(srad(x, **settings)[0], srad_by_definition(x[0], **settings), rtol=1e-5)


def test_srad_flattens_speckle_and_keeps_the_step():
    x = speckled((7, 30, 30))
    found = srad(x, speckle=0.25, decay=0.1, iterations=20, step=0.5)
    bright = 80.0 + 60.0 * (np.indices(x.shape).sum(0) // 9 % 2) > 100
    # away from the step itself
    for part, level in ((bright, 140.0), (~bright, 80.0)):
        assert found[part].std() < 0.7 * x[part].std()
        assert found[part].mean() == pytest.approx(level, rel=0.15)


def test_black_voxels_are_no_exception():
    x = speckled((1, 12, 12))
    x[0, :5] = 0.0
    for found in (srad(x, speckle=0.2, decay=0.1, iterations=3, step=0.2), lee(x, size=3, speckle=0.2)):
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found[0, :2], 0.0)


@pytest.mark.parametrize("speckle", [0.1, 0.25])
def test_speckle_is_told_from_the_logarithm(speckle):
    rng = np.random.default_rng(6)
    x = 100.0 * rng.lognormal(0, np.sqrt(np.log1p(speckle**2)), (20, 40, 40))
    x[:, :10] = 0.0
    assert speckle_of(x.astype(np.float32)) == pytest.approx(speckle, rel=0.05)
    with pytest.raises(Rejected, match="E_CONSTANT"):
        speckle_of(np.zeros((3, 4, 5), np.float32))


def test_diffusion_into_the_black_around_an_image_stays_finite():
    x = np.zeros((1, 120, 120), np.float32)
    x[0, 40:80, 40:80] = 100 * np.random.default_rng(8).gamma(10, 0.1, (40, 40))
    found = srad(x, speckle=0.3, decay=0.1666666667, iterations=30, step=0.2)
    assert np.isfinite(found).all()
    assert found[0, 45:75, 45:75].std() < x[0, 45:75, 45:75].std()
    # speckle that is all but gone before the last steps
    assert np.isfinite(srad(x, speckle=0.3, decay=10.0, iterations=30, step=1.0)).all()
