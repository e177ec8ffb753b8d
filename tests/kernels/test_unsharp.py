from __future__ import annotations

import numpy as np
from skimage.filters import unsharp_mask

from medpipe.kernels.unsharp import unsharp

SPACING_MM = (1.0, 1.0, 1.0)


def test_it_equals_scikit_image():
    x = np.random.default_rng(8).normal(100, 20, (14, 16, 18)).astype(np.float32)
    found = unsharp(x, sigma_mm=1.0, amount=1.5, spacing_mm=SPACING_MM)
    expected = unsharp_mask(x, radius=1.0, amount=1.5, preserve_range=True)
    # the two go on beyond the border in different ways
    inner = (slice(4, -4),) * 3
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-3)


def test_a_flat_image_stays_and_an_edge_overshoots():
    flat = np.full((5, 6, 7), 3.0, np.float32)
    np.testing.assert_allclose(unsharp(flat, sigma_mm=2.0, amount=3.0, spacing_mm=SPACING_MM), flat, atol=1e-5)
    edge = np.where(np.arange(20) < 10, 0.0, 1.0).astype(np.float32) * np.ones((3, 4, 1), np.float32)
    sharp = unsharp(edge, sigma_mm=1.0, amount=1.0, spacing_mm=SPACING_MM)
    assert sharp.min() < -0.1
    assert sharp.max() > 1.1
