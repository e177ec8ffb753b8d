"""The 323 reference values of IBSI 2, phase 2, and mistakes that must be seen by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medpipe.kernels import bands, laws
from medpipe.kernels.rotations import term_of
from medpipe.ops import response_maps, roi
from medpipe.ops.features import Ibsi
from medpipe.ops.filters import Gabor, LaplacianOfGaussian, Laws, Mean, SeparableWavelet, Simoncelli
from tests.ops.ibsi2_values import reference_values
from tests.ops.test_ibsi_reference import ct_case, is_met

VALUES = reference_values()
FILTERS = {
    "2.A": Mean(size=5, by_slice=True),
    "2.B": Mean(size=5),
    "3.A": LaplacianOfGaussian(sigma_mm=1.5, by_slice=True),
    "3.B": LaplacianOfGaussian(sigma_mm=1.5),
    "4.A": Laws(kernels="L5E5", delta=7),
    "4.B": Laws(kernels="L5E5E5", delta=7),
    "5.A": Gabor(sigma_mm=5.0, gamma=1.5, wavelength_mm=2.0, theta_step_deg=22.5, by_slice=True),
    "5.B": Gabor(sigma_mm=5.0, gamma=1.5, wavelength_mm=2.0, theta_step_deg=22.5),
    "6.A": SeparableWavelet(wavelet="db3", passes="LH"),
    "6.B": SeparableWavelet(wavelet="db3", passes="LLH"),
    "7.A": SeparableWavelet(wavelet="db3", passes="HH", level=2),
    "7.B": SeparableWavelet(wavelet="db3", passes="HHH", level=2),
    "8.A": Simoncelli(level=1, by_slice=True),
    "8.B": Simoncelli(level=1),
    "9.A": Simoncelli(level=2, by_slice=True),
    "9.B": Simoncelli(level=2),
}
IMAGES = {
    "A": Ibsi(families=("statistics",), round=True, range=(-1000.0, 400.0)),
    "B": Ibsi(families=("statistics",), round=True, range=(-1000.0, 400.0), resample_mm=(1.0, 1.0, 1.0), order=3),
}


def wrong_in(data_root: Path, configuration: str, *names: str) -> set[str]:
    """Return the values (``3.A stat_mean``) of filters, by default all, that miss their reference."""
    chosen = {
        name: one for name, one in FILTERS.items() if name in names or (not names and name.endswith(configuration))
    }
    found = replace(IMAGES[configuration], filters=tuple(chosen.values()))(*ct_case(data_root))
    tags = {name: f"{one.tag}_" for name, one in chosen.items()} | ({} if names else {f"1.{configuration}": ""})
    return {
        f"{name} {key}"
        for name, tag in tags.items()
        for key, (value, tolerance) in VALUES[name].items()
        if not is_met(found[f"{tag}stat_{key}"], value, tolerance)
    }


def test_there_are_323_values() -> None:
    assert set(VALUES) == {*FILTERS, "1.A", "1.B"}
    assert sum(map(len, VALUES.values())) == 323


@pytest.mark.data
@pytest.mark.parametrize("configuration", IMAGES)
def test_every_reference_value_is_met(data_root: Path, configuration: str) -> None:
    assert wrong_in(data_root, configuration) == set()


@pytest.mark.data
def test_maps_of_the_region_s_box_alone_are_seen(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = roi.prepare

    def without_context(volume: object, region: object, chain: roi.Chain) -> roi.Roi | None:
        return right(volume, region, replace(chain, context=(0, 0, 0)))  # type: ignore[arg-type]

    monkeypatch.setattr(roi, "prepare", without_context)
    wrong = wrong_in(data_root, "A", "4.A", "5.A", "8.A")
    assert {name.split()[0] for name in wrong} == {"4.A", "5.A", "8.A"}


@pytest.mark.data
def test_a_map_that_is_resegmented_itself_is_seen(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = response_maps.on_map

    def by_its_own_values(measured: roi.Roi, *given: object) -> roi.Roi | None:
        made = right(measured, *given)  # type: ignore[arg-type]
        assert made is not None
        inside = made.morphological & (made.image >= -1000.0) & (made.image <= 400.0)
        return replace(made, intensity=inside)

    monkeypatch.setattr(response_maps, "on_map", by_its_own_values)
    assert len(wrong_in(data_root, "A", "4.A")) > 5


@pytest.mark.data
def test_detail_kernels_without_their_zeros_between_are_seen(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = bands.spread_taps
    monkeypatch.setattr(bands, "spread_taps", lambda taps, *, level: right(taps, level=1))
    assert len(wrong_in(data_root, "A", "7.A")) > 5


@pytest.mark.data
def test_a_single_direction_is_seen(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = bands.right_angle_turns
    monkeypatch.setattr(bands, "mean_of_turns", lambda kernels: [term_of(kernels)])
    for module in (bands, laws):
        monkeypatch.setattr(module, "right_angle_turns", lambda dimensions: right(dimensions)[:1])
    wrong = {name.split()[0] for name in wrong_in(data_root, "A", "4.A", "6.A", "7.A")}
    assert wrong == {"4.A", "6.A", "7.A"}
