"""Intensities onto a standard that was fitted over a cohort: Nyul and Udupa's landmarks, histogram matching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from medpipe.contracts.protocols import Halo
from medpipe.errors import ConfigError
from medpipe.kernels.landmarks import landmarks, matched, standardize
from medpipe.ops.fitting import NYUL, QUANTILES
from medpipe.ops.frames import result_bytes
from medpipe.ops.normalize.foreground import over_foreground, quantitative, refuse_map
from medpipe.ops.parameters import by_digest, parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume

_DECILES = (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0)


def _check(standard: str | None, percentiles: Sequence[float], values: Sequence[float]) -> None:
    """Refuse a standard that is neither named nor given, or that does not rise."""
    if standard is None and not values:
        raise ConfigError("give standard (the name of a fit, medpipe fit makes one), or values")
    if values and len(values) != len(percentiles):
        raise ConfigError(f"values: {len(values)} of them for {len(percentiles)} percentiles")
    if len(percentiles) < 2 or any(after <= before for before, after in pairwise(percentiles)):
        raise ConfigError("percentiles: at least two are needed, each greater than the one before")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """Parameters of every op that takes intensities to a standard; its numbers are of the whole foreground."""

    uses_quantity: ClassVar[bool] = True
    level_values: ClassVar[bool]
    """Whether values of the standard may be equal."""

    standard: str | None = parameter(
        None,
        doc="Fit of the lake: its name, name@latest or name@DIGEST; a lock states values and percentiles beside.",
        keyed=by_digest,
    )
    percentiles: tuple[float, ...] = parameter(
        _DECILES, doc="Percentiles that are landmarks, rising.", unit="%", low=0.0, high=100.0
    )
    values: tuple[float, ...] = parameter((), doc="What the landmarks become, strictly rising.")
    quantitative: bool = quantitative()

    def __post_init__(self) -> None:
        _check(self.standard, self.percentiles, self.values)
        for before, after in pairwise(self.values):
            if self.level_values and after < before:
                raise ConfigError("values: none may be less than the one before")
            if not self.level_values and after <= before:
                raise ConfigError("values: each must be greater than the one before")

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # percentiles and ranks are global
        """Return None: the whole volume counts."""
        return None

    def known(self, volume: Volume) -> Sequence[float]:
        """Return the values of the standard, for a volume that may be put on it.

        Raises
        ------
        Rejected
            ``E_QUANTITATIVE`` for a map of a quantity.
        ConfigError
            If the standard is a name that no lock has resolved.
        """
        if not self.values:
            raise ConfigError(
                "standard: a name means a fit of a lake once a run is planned; give values to work without"
            )
        refuse_map(volume, allowed=self.quantitative)
        return self.values


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Nyul(Standard):
    """Maps landmarks of the histogram to those of a standard, piecewise linearly (Nyul and Udupa).

    The standard is fitted over a cohort by ``medpipe fit`` and pinned by its digest when a run
    is planned, or given as values. Landmarks are percentiles of the foreground of ``zscore``.
    """

    name: ClassVar[str] = "nyul"
    version: ClassVar[int] = 1
    fitted: ClassVar[str] = NYUL
    level_values: ClassVar[bool] = False

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the foreground's search, of its values, and of a plane's segments."""
        y, x = geometry.spatial_shape[1:]
        return result_bytes(geometry, beside=6) + 28 * y * x

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:
        """Return the volume on the standard scale, unit ``normalized``.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if fewer than two landmarks differ, ``EMPTY_ROI`` if the foreground is
            empty, ``E_QUANTITATIVE`` for a map of a quantity.
        ConfigError
            If the standard is a name that no lock has resolved.
        """
        values = self.known(volume)

        def scaled(x: Array, inside: Array) -> Array:
            return standardize(x, own=landmarks(x, inside, percentiles=self.percentiles), standard=values)

        return volume.with_data(over_foreground(volume, mask, scaled), unit="normalized")


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Match(Standard):
    """Gives the foreground the histogram of a reference that ``medpipe fit`` stored, or that is given as quantiles.

    The foreground is that of ``zscore``. Within one modality only: ranks say nothing across them.
    """

    name: ClassVar[str] = "match"
    version: ClassVar[int] = 1
    fitted: ClassVar[str] = QUANTILES
    level_values: ClassVar[bool] = True

    percentiles: tuple[float, ...] = parameter(
        tuple(float(share) for share in range(101)),
        doc="Percentiles of the reference that are stored, rising.",
        unit="%",
        low=0.0,
        high=100.0,
    )
    values: tuple[float, ...] = parameter((), doc="The reference's values at the percentiles, not falling.")

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the foreground's search, of its values, sorted, counted and ranked."""
        return result_bytes(geometry, beside=48)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:
        """Return the matched volume; its unit stays.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if the foreground is constant, ``EMPTY_ROI`` if it is empty,
            ``E_QUANTITATIVE`` for a map of a quantity.
        ConfigError
            If the standard is a name that no lock has resolved.
        """
        values = self.known(volume)
        shares = [percent / 100.0 for percent in self.percentiles]

        def scaled(x: Array, inside: Array) -> Array:
            return matched(x, inside, shares=shares, values=values)

        return volume.with_data(over_foreground(volume, mask, scaled))
