"""The bench of texture on a device: that it runs and its sides agree, on the stand-in of a device."""

import math

from medpipe.errors import ConfigError
from tests.bench import gpu_texture
from tests.bench.paired import Skipped, measure
from tests.device.standing import stand_in


def test_without_a_device_it_says_why_there_is_nothing(monkeypatch, tmp_path):
    def refuse(_wanted):
        raise ConfigError("device: cuda was asked for, but no CUDA device is visible")

    monkeypatch.setattr(gpu_texture, "resolve_device", refuse)
    (only,) = gpu_texture.benches(tmp_path)
    assert isinstance(only, Skipped)
    assert "no CUDA device" in only.reason


def test_both_sides_agree(monkeypatch, tmp_path):
    monkeypatch.setattr("tests.bench.paired.gc.collect", lambda: 0)
    with stand_in():
        figures = [measure(one, rounds=1) for one in gpu_texture.benches(tmp_path, sizes=(600,), by_family=600)]
    assert len(figures) == 2 + len(gpu_texture.FAMILIES)
    assert all(figure.is_equal for figure in figures)


def test_a_number_that_only_one_side_has_is_a_difference():
    assert gpu_texture.largest_share({"a": 1.0, "b": math.nan}, {"a": 1.0, "b": 2.0}) == math.inf
    assert gpu_texture.largest_share({"a": 1.0, "b": math.nan}, {"a": 1.0, "b": math.nan}) == 0.0
    assert gpu_texture.largest_share({"a": 3.0}, {"a": 2.0}) == 0.5
