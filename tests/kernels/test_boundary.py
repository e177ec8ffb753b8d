from __future__ import annotations

import numpy as np
import pytest

from medpipe.kernels.boundary import NOWHERE, places, widened

IN_NUMPY = {"constant": "constant", "nearest": "edge", "wrap": "wrap", "reflect": "symmetric"}


def test_what_stands_beyond_three_voxels_is_known_by_hand():
    found = {name: places(3, before=4, after=2, boundary=name).tolist() for name in IN_NUMPY}
    assert found == {
        "constant": [NOWHERE] * 4 + [0, 1, 2] + [NOWHERE] * 2,
        "nearest": [0, 0, 0, 0, 0, 1, 2, 2, 2],
        "wrap": [2, 0, 1, 2, 0, 1, 2, 0, 1],
        "reflect": [2, 2, 1, 0, 0, 1, 2, 2, 1],
    }


@pytest.mark.parametrize("boundary", IN_NUMPY)
def test_a_widened_image_is_that_of_numpy(boundary):
    image = np.random.default_rng(1).normal(size=(3, 1, 5)).astype(np.float32)
    wide = widened(image, by=(7, 2, 0), boundary=boundary)
    assert wide.dtype == np.float32
    np.testing.assert_array_equal(wide, np.pad(image, [(7, 7), (2, 2), (0, 0)], mode=IN_NUMPY[boundary]))
