"""Conditions on volumes: which ones a route takes, or a selection chooses among."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medpipe.errors import ConfigError
from medpipe.recipe.preferences import coverage_mm, thickness_mm
from medpipe.recipe.shape import WhereTable

_FIRST = ("modality", "kind", "body_part", "verdict", "min_slices", "max_slices")
"""Conditions that every lock states; others only where a recipe has them, so that locks stay what they were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Conditions on a volume and its series; empty tuples and None take everything."""

    modality: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    body_part: tuple[str, ...] = ()
    verdict: tuple[str, ...] = ()
    min_slices: int = 1
    max_slices: int | None = None
    kernel: tuple[str, ...] = ()
    min_thickness_mm: float | None = None
    max_thickness_mm: float | None = None
    min_coverage_mm: float | None = None
    contrast: bool | None = None
    derived: bool | None = None

    def takes(self, volume: Mapping[str, Any]) -> str | None:
        """Return None if a ``volumes`` row with what its series says fits, else the reason code it does not."""
        for name in ("modality", "kind", "body_part", "verdict"):
            wanted = getattr(self, name)
            if wanted and volume.get(name) not in wanted:
                return "S_NO_ROUTE"
        if not self._takes_series(volume):
            return "S_NO_ROUTE"
        slices = volume["shape"][-3]
        if slices < self.min_slices or (self.max_slices is not None and slices > self.max_slices):
            return "S_TOO_FEW_SLICES" if slices < self.min_slices else "S_NO_ROUTE"
        return None

    def spec(self) -> dict[str, Any]:
        """Return the conditions as a lock states them."""
        default = Where()
        stated = (name for name in self.__slots__ if name in _FIRST or getattr(self, name) != getattr(default, name))
        return {name: getattr(self, name) for name in stated}

    def _takes_series(self, volume: Mapping[str, Any]) -> bool:
        if self.kernel and (volume.get("kernel_class") or "unknown") not in self.kernel:
            return False
        for name in ("contrast", "derived"):
            wanted = getattr(self, name)
            if wanted is not None and volume.get(name) is not wanted:
                return False
        thickness = (self.min_thickness_mm, self.max_thickness_mm)
        if thickness != (None, None) and not _is_between(thickness_mm(volume), *thickness):
            return False
        return self.min_coverage_mm is None or _is_between(coverage_mm(volume), self.min_coverage_mm, None)


def parse_where(table: WhereTable, where: str) -> Where:
    """Return checked conditions.

    Raises
    ------
    ConfigError
        If no thickness could fit.
    """
    least, most = table.min_thickness_mm, table.max_thickness_mm
    if least is not None and most is not None and least > most:
        raise ConfigError(f"{where}.where.min_thickness_mm: greater than max_thickness_mm")
    return Where(
        modality=tuple(table.modality),
        kind=tuple(table.kind),
        body_part=tuple(table.body_part),
        verdict=tuple(table.verdict),
        min_slices=table.min_slices,
        max_slices=table.max_slices,
        kernel=tuple(table.kernel),
        min_thickness_mm=least,
        max_thickness_mm=most,
        min_coverage_mm=table.min_coverage_mm,
        contrast=table.contrast,
        derived=table.derived,
    )


def _is_between(found: float | None, least: float | None, most: float | None) -> bool:
    return found is not None and (least is None or found >= least) and (most is None or found <= most)
