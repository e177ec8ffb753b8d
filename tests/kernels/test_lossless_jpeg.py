from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.kernels.lossless_jpeg import (
    BAD_CODE,
    LEFT_OVER,
    NO_RESTART,
    STARVED,
    add_up,
    code_table,
    read_differences,
)
from tests.archive.lossless_jpeg import differences_of

# codes 0, 10, 110 and 1110 for differences of 0 to 3 bits
COUNTS = np.array([1, 1, 1, 1, *[0] * 12], dtype=np.uint8)
TABLE = code_table(COUNTS, np.arange(4, dtype=np.uint8))[None]


def read(text: str, n: int, *, restart: int = 0, tail: bytes = b"\xff\xd9") -> tuple[int, list[int]]:
    bits = text.replace(" ", "")
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0") + tail
    out = np.zeros((n, 1), dtype=np.int32)
    return read_differences(np.frombuffer(packed, dtype=np.uint8), 0, TABLE, restart, out), out[:, 0].tolist()


def test_differences_by_hand():
    # 0; 2 bits 10 = 2; 2 bits 01 = -2; 1 bit 1 = 1; 3 bits 000 = -7; filled up with ones
    end, found = read("0 110 10 110 01 10 1 1110 000 111", 5)
    assert found == [0, 2, -2, 1, -7]
    assert end == 3


def test_a_table_that_runs_out_of_codes_has_places_without_one():
    assert TABLE[0, 0] == 1 << 8
    assert TABLE[0, 0b1110 << 12] == 4 << 8 | 3
    assert TABLE[0, 0xFFFF] == 0


@pytest.mark.parametrize(
    ("text", "n", "restart", "code"),
    [("0000 0000", 9, 0, STARVED), ("1111 1111", 1, 0, BAD_CODE), ("0000 0000", 8, 4, NO_RESTART)],
)
def test_what_breaks_the_standard_has_its_code(text, n, restart, code):
    assert read(text, n, restart=restart)[0] == code


def test_bytes_after_the_last_sample_are_told():
    assert read("0000 0000 0000 0000", 8)[0] == LEFT_OVER
    assert read("0000 0000", 8)[0] == 1


def test_samples_by_hand():
    # prediction from the left in the first row, from above in the first column, else their mean
    samples = np.array([[[1], [2]], [[-3], [4]]], dtype=np.int32)
    add_up(samples, 4, 7, 0)
    assert samples[..., 0].tolist() == [[9, 11], [6, 12]]


@settings(max_examples=40)
@given(st.integers(2, 16), st.integers(1, 7), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_adding_up_undoes_prediction(bits, predictor, restart_rows, seed):
    image = np.random.default_rng(seed).integers(0, 1 << bits, (7, 5))
    samples = differences_of(image, bits, predictor, restart_rows, wraps=False)[..., None].astype(np.int32)
    add_up(samples, bits, predictor, restart_rows)
    assert np.array_equal(samples[..., 0], image)
