from __future__ import annotations

import numpy as np
import pytest

from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.foreground import foreground
from medpipe.ops.normalize import Clip, Percentile, Window, ZScore
from medpipe.types import Geometry, Volume


def volume(data, *, modality="CT", unit="HU"):
    axes = "zyx" if data.ndim == 3 else "tzyx"
    geometry = Geometry(shape=data.shape, axes=axes, spacing_mm=(1.0, 1.0, 1.0))
    return Volume(data=data, geometry=geometry, unit=unit, modality=modality)


def noise(shape=(5, 6, 7), seed=2):
    return np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32)


def test_a_preset_is_its_centre_and_width():
    given = volume(noise())
    by_name, by_number = Window(preset="liver")(given), Window(center=60.0, width=160.0)(given)
    np.testing.assert_array_equal(by_name.data, by_number.data)
    assert by_name.unit == "normalized"


@pytest.mark.parametrize(
    "given", [{}, {"preset": "lung", "width": 1.0}, {"center": 1.0}, {"preset": "lung", "center": 1.0, "width": 1.0}]
)
def test_a_window_is_given_in_exactly_one_way(given):
    with pytest.raises(ConfigError, match="either preset, or both"):
        Window(**given)


def test_clip_keeps_the_unit_and_wants_an_order():
    result = Clip(low=80.0, high=120.0)(volume(noise()))
    assert (result.unit, result.data.min(), result.data.max()) == ("HU", 80.0, 120.0)
    with pytest.raises(ConfigError, match="not below"):
        Clip(low=1.0, high=1.0)
    with pytest.raises(ConfigError, match="not below"):
        Percentile(low=60.0, high=50.0)


def test_a_given_mask_is_the_foreground():
    given = volume(noise())
    mask = given.data > 100
    inside = ZScore()(given, mask).data[mask].astype(np.float64)
    assert (inside.mean(), inside.std()) == pytest.approx((0, 1), abs=1e-5)


def test_mr_finds_its_own_foreground_and_others_take_everything():
    data = np.abs(noise((12, 30, 30)) * 0.05)
    data[3:9, 8:22, 8:22] += noise((6, 14, 14))
    found = foreground(data)
    assert 0.1 < found.mean() < 0.3
    mr = ZScore()(volume(data, modality="MR", unit="arbitrary")).data
    assert mr[found].mean(dtype=np.float64) == pytest.approx(0, abs=1e-5)
    assert ZScore()(volume(data)).data.mean(dtype=np.float64) == pytest.approx(0, abs=1e-5)


def test_percentiles_are_clipped_unless_told_otherwise():
    given = volume(noise())
    clipped, open_ended = Percentile()(given).data, Percentile(clip=False)(given).data
    assert (clipped.min(), clipped.max()) == (0.0, 1.0)
    assert open_ended.min() < 0
    assert open_ended.max() > 1
    np.testing.assert_array_equal(np.clip(open_ended, 0, 1), clipped)


@pytest.mark.parametrize("op", [ZScore(), Percentile()])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_constant_foreground_is_rejected(op, modality):
    with pytest.raises(Rejected, match="E_CONSTANT"):
        op(volume(np.full((4, 5, 6), 7.0, np.float32), modality=modality))


def test_each_frame_is_scaled_by_its_own_statistics():
    frames = np.stack([noise(seed=3), 5 * noise(seed=3)])
    scaled = ZScore()(volume(frames)).data
    np.testing.assert_allclose(scaled[0], scaled[1], atol=1e-4)
