"""Memory that is kept from one volume to the next."""

import mmap

import numpy as np
import pytest

from medpipe.archive.memory import KeptMemory, fresh_memory

MB = 1 << 20


def place_of(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_once_nobody_looks_at_it():
    memory = KeptMemory(8 * MB)
    first = memory.array((4, 100, 100))
    first[:] = 7
    place = place_of(first)
    del first
    again = memory.array((100, 100))
    assert (again.dtype, again.shape, place_of(again)) == (np.float32, (100, 100), place)


@pytest.mark.parametrize("kept", [lambda one: one, lambda one: one[2:, 5], lambda one: memoryview(one.reshape(-1))])
def test_memory_that_is_looked_at_is_nobody_elses(kept):
    memory = KeptMemory(8 * MB)
    array = memory.array((4, 10, 10))
    array[:] = 7
    view = kept(array)
    del array
    memory.array((4, 10, 10))[:] = 1
    memory.keep(0)
    memory.array((40, 10, 10))[:] = 2
    assert (np.asarray(view) == 7).all()


def test_larger_arrays_are_not_kept():
    memory = KeptMemory(4 * MB)
    first = memory.array((MB,))
    place = place_of(first)
    del first
    larger = memory.array((MB + 1,))
    larger[:] = 5
    assert place_of(memory.array((MB,))) == place
    assert (larger == 5).all()
    assert memory.array((0, 5)).shape == (0, 5)


def test_what_the_next_volume_does_not_need_goes_back():
    memory = KeptMemory(16 * MB)
    array = memory.array((4 * MB,))
    array[:] = 1
    memory.keep(0)
    memory.keep(4 * MB)
    assert (array == 1).all()
    memory = KeptMemory(16 * MB)
    array = memory.array((4 * MB,))
    array[:] = 1
    place = place_of(array)
    del array
    memory.keep(4 * MB)
    held = memory.array((4 * MB,))
    assert place_of(held) == place
    assert (held[:MB] == 1).all()
    # what went back comes again as the system gives memory out
    assert not held[MB:].any()


def test_memory_the_system_does_not_have_is_told_as_such():
    with pytest.raises(MemoryError):
        fresh_memory(1 << 62)
    assert isinstance(fresh_memory(0), mmap.mmap)
