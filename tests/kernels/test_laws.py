from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medpipe.kernels.laws import KERNELS, laws, laws_names, laws_terms
from medpipe.kernels.rotations import right_angle_turns
from tests.kernels.turned import convolved_whole, product_of, rotations

BY_HAND = {
    "L5": [1, 4, 6, 4, 1],
    "E5": [-1, -2, 0, 2, 1],
    "S5": [-1, 0, 2, 0, -1],
    "W5": [-1, 2, 0, -2, 1],
    "R5": [1, -4, 6, -4, 1],
    "L3": [1, 2, 1],
    "E3": [-1, 0, 1],
    "S3": [-1, 2, -1],
}
IMAGE = np.random.default_rng(5).normal(-300, 200, (7, 9, 8)).astype(np.float32)


def response(names, **changed):
    given = {"rotation_invariant": True, "pooling": "max", "delta": None, "boundary": "reflect", **changed}
    return laws(IMAGE, laws_names(names), **given)


def test_the_kernels_are_those_of_the_manual_and_of_length_one():
    assert set(KERNELS) == set(BY_HAND)
    for name, taps in BY_HAND.items():
        np.testing.assert_allclose(KERNELS[name], np.array(taps) / np.linalg.norm(taps))


@pytest.mark.parametrize("text", ["", "L5E", "L5X5", "l5e5", "L5E5S5W5x"])
def test_a_text_that_names_no_kernels_gives_none(text):
    assert laws_names(text) == ()


@pytest.mark.parametrize("boundary", ["constant", "wrap", "reflect"])
@pytest.mark.parametrize("names", ["L5E3", "E5E5", "E5L5S5", "E3W5R5", "L5E5E5", "E5E5E5", "E5W5E3", "L3L5S3"])
@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_pooled_rotations_are_those_of_whole_kernels_turned(names, pooling, boundary):
    kernel = product_of([KERNELS[name] for name in laws_names(names)])
    every = [convolved_whole(IMAGE, turned, boundary) for turned in rotations(kernel)]
    expected = np.max(every, axis=0) if pooling == "max" else np.mean(every, axis=0)
    found = response(names, pooling=pooling, boundary=boundary)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.ptp(every[0]))


def test_without_rotations_the_first_name_is_along_x():
    kernel = product_of([KERNELS[name] for name in ("E5", "L5", "S5")])
    expected = convolved_whole(IMAGE, kernel, "reflect")
    found = response("E5L5S5", rotation_invariant=False)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.ptp(expected))


def test_the_energy_is_the_mean_size_of_what_was_pooled():
    pooled = response("L5E5E5")
    expected = ndimage.uniform_filter(abs(pooled).astype(np.float64), 5, mode="reflect")
    found = response("L5E5E5", delta=2)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.ptp(expected))
    # pooled after averaging it would be another number
    turns = [response("L5E5E5", rotation_invariant=False)]
    assert abs(ndimage.uniform_filter(abs(turns[0]), 5) - found).max() > 1.0


def test_rotations_that_are_alike_or_opposite_are_made_once():
    assert [len(right_angle_turns(dimensions)) for dimensions in (2, 3)] == [4, 24]
    largest = {"L5L5L5": (1, "max"), "L5L5S5": (3, "max"), "L5S5R5": (6, "max")}
    largest |= {"E5L5S5": (6, "size"), "L5E5E5": (3, "size"), "E5E5E5": (1, "size"), "L5E5": (2, "size")}
    means = {"L5L5S5": 3, "L5S5R5": 6, "E5W5E3": 6}
    for text, expected in largest.items():
        terms, joined = laws_terms(laws_names(text), rotation_invariant=True, pooling="max")
        assert (len(terms), joined) == expected
    for text, count in means.items():
        terms, joined = laws_terms(laws_names(text), rotation_invariant=True, pooling="mean")
        assert (len(terms), joined) == (count, "sum")


def test_there_are_24_rotations_and_none_is_a_mirror_image():
    kernel = np.arange(27.0).reshape(3, 3, 3)
    found = rotations(kernel)
    assert len({one.tobytes() for one in found}) == 24
    assert all(one.tobytes() != kernel[::-1].tobytes() for one in found)
