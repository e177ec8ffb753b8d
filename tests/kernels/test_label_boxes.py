from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medpipe.kernels.label_boxes import label_boxes


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_boxes_are_those_of_scipy(dtype):
    rng = np.random.default_rng(4)
    labels = np.zeros((9, 31, 37), dtype=dtype)
    for label in range(1, 60):
        z, y, x = rng.integers(0, (7, 27, 33))
        labels[z : z + 2, y : y + rng.integers(1, 5), x : x + rng.integers(1, 5)] = label
    expected = {label: box for label, box in enumerate(ndimage.find_objects(labels.astype(int)), 1) if box is not None}
    assert label_boxes(labels, tuple(range(1, 70))) == expected


def test_values_that_are_not_asked_for_do_not_count():
    labels = np.array([[[-3, 5, 5, 0, 2_000_000_000]]])
    assert label_boxes(labels, (2_000_000_000, -3, 7)) == {
        -3: (slice(0, 1), slice(0, 1), slice(0, 1)),
        2_000_000_000: (slice(0, 1), slice(0, 1), slice(4, 5)),
    }
    assert label_boxes(labels, (0,)) == {0: (slice(0, 1), slice(0, 1), slice(3, 4))}
    assert label_boxes(labels, ()) == {}
