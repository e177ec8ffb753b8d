from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels import apply_voi, apply_windowing

from medpipe.kernels.intensity import window
from medpipe.kernels.voi import inverted, linear, looked_up, sigmoid

KERNELS = {"LINEAR": linear, "LINEAR_EXACT": window, "SIGMOID": sigmoid}


def header(**elements):
    dataset = Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsStored = 16
    dataset.PixelRepresentation = 1
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


@pytest.mark.parametrize("function", sorted(KERNELS))
@settings(max_examples=40, deadline=None)
@given(st.integers(-2000, 3000), st.integers(1, 5000))
def test_a_window_is_what_pydicom_makes_of_it(function, center, width):
    stored = np.arange(-3000, 3001, 7, dtype=np.int16)
    # of the bits of 16 pydicom's output range is -32768 to 32767
    shown = apply_windowing(stored, header(WindowCenter=center, WindowWidth=width, VOILUTFunction=function))
    found = KERNELS[function](stored.astype(np.float32), center=float(center), width=float(width))
    np.testing.assert_allclose(found, (shown + 32768.0) / 65535.0, atol=2e-6)


def test_a_window_of_one_value_is_a_step():
    x = np.array([39, 39.5, 40, np.nan], np.float32)
    np.testing.assert_array_equal(linear(x, center=40.0, width=1.0), [0, 0, 1, np.nan])


def test_the_standard_example_of_a_linear_window():
    # PS3.3 C.11.2.1.2.1, note 3: a width of 4096 around 2048 is the identity of 12 bits
    x = np.arange(4096, dtype=np.float32)
    np.testing.assert_allclose(linear(x, center=2048.0, width=4096.0) * 4095, x, atol=1e-3)


def test_far_values_do_not_overflow():
    with np.errstate(all="raise"):
        found = sigmoid(np.array([-1e30, 0, 1e30, np.nan], np.float32), center=0.0, width=1e-3)
    np.testing.assert_allclose(found, [0, 0.5, 1, np.nan], atol=1e-30)


@pytest.mark.parametrize("kernel", [linear, sigmoid])
def test_a_part_is_shown_as_in_the_whole(kernel):
    x = np.random.default_rng(9).normal(40, 300, 1003).astype(np.float32)
    whole = kernel(x, center=40.0, width=400.0)
    for start, stop in ((0, 7), (3, 500), (501, 1003)):
        assert kernel(x[start:stop].copy(), center=40.0, width=400.0).tobytes() == whole[start:stop].tobytes()


def test_a_table_is_looked_up_as_pydicom_does():
    entries = np.random.default_rng(4).integers(0, 4096, 300)
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [300, 100, 12])
    item.add_new("LUTData", "US", entries.tolist())
    stored = np.arange(0, 600, dtype=np.uint16)
    expected = apply_voi(stored, header(PixelRepresentation=0, VOILUTSequence=[item]))
    found = looked_up(stored.astype(np.float32), entries.astype(np.float32), first=100.0)
    np.testing.assert_array_equal(found, expected)
    assert np.isnan(looked_up(np.array([np.nan], np.float32), entries.astype(np.float32), first=0.0)).all()


def test_polarity_turned_twice_is_as_before():
    x = np.array([0, 10, 4095, np.nan], np.float32)
    once = inverted(x, low=0.0, high=4095.0)
    np.testing.assert_array_equal(once, [4095, 4085, 0, np.nan])
    np.testing.assert_array_equal(inverted(once, low=0.0, high=4095.0), x)
