from __future__ import annotations

import numpy as np
import pytest
import pywt

from medpipe.kernels.bands import band, band_reach, spread_taps, wavelet_names, wavelet_taps
from tests.kernels.turned import convolved_whole, product_of, rotations

IMAGE = np.random.default_rng(6).normal(40, 300, (8, 16, 8)).astype(np.float32)


def made(wavelet, passes, x=IMAGE, **changed):
    given = {"level": 1, "rotation_invariant": True, "pooling": "mean", "boundary": "reflect", **changed}
    return band(x, passes, taps=wavelet_taps(wavelet), **given)


def by_hand(wavelet, passes, level, mode, pooling):
    """Return a band by whole kernels, turned as arrays: the low-pass of each level along, then the band's own."""
    taps = wavelet_taps(wavelet)
    steps = [
        rotations(
            product_of(
                [np.pad(_spread(taps[one], below), (0, 1)) for one in (passes if below == level else "L" * len(passes))]
            )
        )
        for below in range(1, level + 1)
    ]
    every = []
    for kernels in zip(*steps, strict=True):
        x = IMAGE
        for kernel in kernels:
            x = convolved_whole(x, kernel, mode)
        every.append(x)
    return np.max(every, axis=0) if pooling == "max" else np.mean(every, axis=0)


def _spread(taps, level):
    step = 2 ** (level - 1)
    spread = np.zeros(len(taps) * step)
    spread[::step] = taps
    return spread


@pytest.mark.parametrize(
    ("wavelet", "passes", "level", "mode", "pooling"),
    [
        ("db3", "LH", 1, "reflect", "mean"),
        ("db3", "HH", 1, "wrap", "mean"),
        ("bior2.4", "LLH", 1, "nearest", "mean"),
        ("db2", "HHH", 1, "constant", "mean"),
        ("db3", "HH", 2, "reflect", "mean"),
        ("db2", "LHL", 1, "constant", "mean"),
        ("db2", "LHL", 1, "nearest", "max"),
        ("coif1", "HHL", 1, "wrap", "mean"),
        ("haar", "LLL", 2, "reflect", "mean"),
        ("haar", "HHH", 2, "reflect", "max"),
        ("haar", "LHH", 3, "wrap", "mean"),
    ],
)
def test_pooled_rotations_are_those_of_whole_kernels_turned(wavelet, passes, level, mode, pooling):
    expected = by_hand(wavelet, passes, level, mode, pooling)
    found = made(wavelet, passes, level=level, boundary=mode, pooling=pooling)
    np.testing.assert_allclose(found, expected, atol=2e-6 * np.ptp(IMAGE))


def test_the_zero_of_an_even_kernel_stands_behind_it_before_it_is_turned():
    assert spread_taps((1.0, 2.0), level=1) == (1.0, 2.0, 0.0)
    assert spread_taps((1.0, 2.0), level=2) == (1.0, 0.0, 2.0, 0.0, 0.0)
    assert spread_taps((1.0, 2.0, 3.0), level=1) == (1.0, 2.0, 3.0)
    # turned round first, the zero would stand on the other side, and the response a voxel further on
    left, right = (made("haar", "HH", rotation_invariant=False, x=x) for x in (IMAGE, IMAGE[:, ::-1, ::-1].copy()))
    assert not np.allclose(left[:, 1:-1, 1:-1], right[:, ::-1, ::-1][:, 1:-1, 1:-1], atol=1.0)


@pytest.mark.parametrize("wavelet", ["haar", "db3", "sym5", "coif2", "bior2.4"])
def test_bands_are_those_of_pywavelets_where_the_image_starts_anew(wavelet):
    coefficients = pywt.swtn(IMAGE.astype(np.float64), wavelet, level=2, axes=(1, 2), trim_approx=False)
    taps = wavelet_taps(wavelet)
    for level, of_level in zip((2, 1), coefficients, strict=True):
        for key, passes in {"aa": "LL", "ad": "HL", "da": "LH", "dd": "HH"}.items():
            found = made(wavelet, passes, level=level, boundary="wrap", rotation_invariant=False)
            # theirs starts each level half its filter earlier
            shift = sum(
                2**one * (len(taps["L"]) // 2) - len(spread_taps(taps["L"], level=one + 1)) // 2 for one in range(level)
            )
            expected = np.roll(of_level[key], (shift, shift), axis=(1, 2))
            np.testing.assert_allclose(found, expected, atol=2e-5 * np.ptp(IMAGE))


def test_low_passes_keep_a_constant_and_details_lose_it():
    flat = np.full((6, 7, 8), 5.0, np.float32)
    np.testing.assert_allclose(made("db4", "LLL", flat, level=2), 5.0 * 2.0**3, rtol=1e-6)
    assert abs(made("db4", "LLH", flat)).max() < 1e-5


def test_every_discrete_wavelet_has_two_filters_of_one_length():
    names = wavelet_names()
    assert {"haar", "db38", "sym20", "coif17", "bior6.8", "rbio3.1", "dmey"} <= set(names)
    for name in names:
        taps = wavelet_taps(name)
        assert len(taps["L"]) == len(taps["H"])
        assert sum(taps["L"]) == pytest.approx(2**0.5, abs=1e-4)


def test_how_far_a_band_looks_is_what_its_levels_add_up_to():
    assert [band_reach(wavelet_taps("db3"), level=level) for level in (1, 2, 3)] == [3, 9, 21]
