from __future__ import annotations

import contextlib
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.engine.board import MarkBoard, board_file
from medpipe.engine.frames import FrameBuffer, decode, encode, read_frame, write_frame

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_a_value_comes_back_as_it_went(value):
    assert decode(encode(value)) == value


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    for fd in (read, write):
        with contextlib.suppress(OSError):
            os.close(fd)


def test_a_frame_larger_than_a_pipe_passes_whole(pipe):
    read, write = pipe
    value = {"text": "x" * 3_000_000}
    writer = threading.Thread(target=write_frame, args=(write, encode(value)))
    writer.start()
    assert read_frame(read) == value
    writer.join()


def test_a_closed_pipe_is_the_end_and_not_an_error(pipe):
    read, write = pipe
    os.write(write, encode({"a": 1})[:6])
    os.close(write)
    assert read_frame(read) is None


def test_a_buffer_gives_a_frame_once_all_of_it_has_come(pipe):
    read, write = pipe
    os.set_blocking(read, False)
    buffer = FrameBuffer()
    frame = encode({"a": [1, 2, 3]})
    assert buffer.fill(read)
    for byte in frame[:-1]:
        os.write(write, bytes([byte]))
        assert buffer.fill(read)
        assert buffer.take() is None
    os.write(write, frame[-1:])
    assert buffer.fill(read)
    assert buffer.take() == {"a": [1, 2, 3]}
    os.close(write)
    assert not buffer.fill(read)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), {1, 2}, b"x"])
def test_what_json_cannot_hold_is_refused(bad):
    with pytest.raises((TypeError, ValueError)):
        encode({"value": bad})


def test_a_board_shows_the_last_mark_in_another_mapping_and_counts():
    fd = board_file()
    one, other = MarkBoard(fd), MarkBoard(fd)
    os.close(fd)
    assert other.read() == (0, "", "")
    one.write("read", "a" * 64)
    one.write("image", "b")
    assert other.read() == (2, "image", "b")
    one.write("image", "c" * 5000)
    number, stage, subject = other.read()
    assert (number, stage) == (3, "image")
    assert set(subject) == {"c"}
