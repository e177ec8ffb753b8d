"""The bench of texture on a device: that it runs and its sides agree, on the stand-in of a device."""

import math

from tests.bench import gpu_texture
from tests.bench.paired import measure
from tests.device.standing import stand_in


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
