"""The bench of a device: its counts, its floors, and that it runs, on the stand-in of a device."""

import numpy as np
import pytest

from medpipe.errors import ConfigError
from tests.bench import gpu, gpu_texture
from tests.bench.paired import Skipped, measure
from tests.device.standing import needs_compiler, stand_in


@pytest.mark.parametrize("bench", [gpu, gpu_texture])
def test_without_a_device_it_says_why_there_is_nothing(monkeypatch, tmp_path, bench):
    def refuse(_wanted):
        raise ConfigError("device: cuda was asked for, but no CUDA device is visible")

    monkeypatch.setattr(bench, "resolve_device", refuse)
    (only,) = bench.benches(tmp_path)
    assert isinstance(only, Skipped)
    assert "no CUDA device" in only.reason


@needs_compiler
def test_every_body_is_equal_to_the_host_beside_its_floor(monkeypatch, tmp_path):
    monkeypatch.setattr("tests.bench.paired.gc.collect", lambda: 0)
    monkeypatch.setattr(gpu, "_TIMES", 1)
    monkeypatch.setattr(gpu, "_BLOCKS", 4)
    with stand_in():
        for bench in gpu.benches(tmp_path, shape=(3, 6, 33)):
            figure = measure(bench, rounds=1)
            assert figure.is_equal
            assert figure.clock == "device"
            assert "a voxel" in figure.peer


@needs_compiler
def test_floors_do_as_much_as_they_are_asked_for(monkeypatch):
    monkeypatch.setattr(gpu, "_BLOCKS", 3)
    with stand_in() as cupy:
        floors = gpu.Floors(cupy, 5000)
        floors.move(8 * 3000)
        np.testing.assert_array_equal(floors._target.get(), np.arange(5000) < 3000)
        floors.move(8 * 11000)
        assert (floors._target.get() == 1).all()
        floors.multiply_and_add(3 * 256 * 8 * 2)
        value = np.add.outer(np.arange(256), np.arange(8)).astype(np.float32)
        for _ in range(2):
            value = value * np.float32(0.999) + np.float32(0.001)
        np.testing.assert_allclose(floors._sums.get().reshape(3, 256), np.tile(value.sum(axis=1), (3, 1)), rtol=1e-5)
        floors.put_in_order(256 * 16 * 8)
        # what is put in order stays what it is
        value = -np.add.outer(np.arange(256), np.arange(8)).sum(axis=1)
        np.testing.assert_allclose(floors._sums.get()[:256], value, rtol=1e-5)


def test_operations_are_those_counted_by_hand():
    # of 6 x 6 squares 4 x 4 voxels; sums over three rows of six planes, three planes and three columns
    assert gpu.alike_work((1, 1, 1), (3, 3, 3), (9, 9, 9)).operations == (4.5 + 3 + 2 + 2 + 6) * 342 + 3
    assert gpu.alike_work((0, 0, 0), (2, 2, 2), (9, 9, 9)).operations == 8 * 124 + 3
    assert gpu.tv_work(2).n_bytes == 28 + 20 + 12
    assert gpu.gaussian_work((4, 4, 4)).n_bytes == 24
    for operations in (1.0, 1e6, 3e12):
        blocks, rounds = gpu._rounds(operations, 8)
        assert operations <= blocks * rounds * 256 * 8 < operations + blocks * 256 * 8 + 256 * 8
