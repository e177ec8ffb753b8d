"""What a recipe may prefer one reconstruction to another for, and the measures that needs.

A preference gives each volume a number, the lower the better, or None where the header does
not say what it takes. Volumes whose numbers are within a tolerance of the best are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Row = Mapping[str, Any]

LENGTH_MM: Final = 0.01
"""Thicknesses and pixel sizes that differ by no more are equal."""

COVERAGE_SHARE: Final = 0.05
"""Share of the longest extent; shorter ones within it are equal: slices of two thicknesses never end alike."""

COMPLETE: Final = frozenset({"regular", "tilted"})
"""Verdicts of even steps, where a missing slice would have been seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """One preference of a recipe.

    Attributes
    ----------
    label : str
        As the tables name it, such as ``thin`` or ``thickness_mm 2.5``.
    number : callable
        Gives a ``volumes`` row, with what its series says, a number or None.
    within : float
        Numbers that are higher than the best by no more are as good.
    share : float
        The same as a share of the best.
    """

    label: str
    number: Callable[[Row], float | None]
    within: float = 0.0
    share: float = 0.0

    def best(self, numbers: Sequence[float | None]) -> list[bool]:
        """Tell which are as good as the best; all where none is known, and no unknown one else."""
        known = [number for number in numbers if number is not None]
        if not known:
            return [True] * len(numbers)
        least = min(known)
        limit = least + max(self.within, self.share * abs(least))
        return [number is not None and number <= limit for number in numbers]


def thickness_mm(row: Row) -> float | None:
    """Return the nominal slice thickness; where the header says none, the step between slices."""
    said: float | None = row.get("thickness_mm")
    if said is not None:
        return said
    spacing = row.get("spacing_mm")
    return float(spacing[0]) if spacing and _n_slices(row) > 1 else None


def coverage_mm(row: Row) -> float | None:
    """Return the extent along the slice normal, from the outer face of the first slice to that of the last."""
    spacing = row.get("spacing_mm")
    if not spacing or row.get("affine_lps") is None:
        return None
    places = row.get("slice_positions_mm")
    if places and len(places) > 1:
        return float(max(places) - min(places)) + float(spacing[0])
    return _n_slices(row) * float(spacing[0])


LOCALIZERS_LAST: Final = Preference(label="no_localizer", number=lambda row: float("W_LOCALIZER" in _flags(row)))
"""What every selection begins with: a localizer is chosen among localizers alone."""


def named_preferences() -> dict[str, tuple[Preference, str]]:
    """Return the preferences a recipe names by one word, each with its meaning."""
    return {preference.label: (preference, meaning) for preference, meaning in _NAMED}


def nearest_thickness(wanted_mm: float) -> Preference:
    """Return the preference for the thickness nearest to a number."""

    def distance(row: Row) -> float | None:
        found = thickness_mm(row)
        return None if found is None else abs(found - wanted_mm)

    return Preference(label=f"thickness_mm {wanted_mm:.12g}", number=distance, within=LENGTH_MM)


def _n_slices(row: Row) -> int:
    return int(row["shape"][-3])


def _negative(measure: Callable[[Row], float | None]) -> Callable[[Row], float | None]:
    def number(row: Row) -> float | None:
        found = measure(row)
        return None if found is None else -found

    return number


def _of(column: str, *, best: object, worst: object) -> Callable[[Row], float | None]:
    """Return a number for a column of closed values: what is not said stands between the two."""

    def number(row: Row) -> float:
        found = row.get(column)
        return 0.0 if found == best else 2.0 if found == worst else 1.0

    return number


def _flags(row: Row) -> Sequence[str]:
    return row.get("flags") or ()


def _missing(row: Row) -> float:
    flags = _flags(row)
    if row.get("n_missing"):
        return 2.0 + float(row["n_missing"])
    if "W_COUNT" in flags or "E_GAP" in flags:
        return 2.0
    return 0.0 if row["verdict"] in COMPLETE else 1.0


def _pixel_mm(row: Row) -> float | None:
    spacing = row.get("spacing_mm")
    return float(max(spacing[1:])) if spacing else None


def _day(row: Row) -> float | None:
    return row.get("study_day")


_NAMED: Final = (
    (Preference(label="thin", number=thickness_mm, within=LENGTH_MM), "the thinnest slices"),
    (Preference(label="thick", number=_negative(thickness_mm), within=LENGTH_MM), "the thickest slices"),
    (
        Preference(label="soft_kernel", number=_of("kernel_class", best="soft", worst="sharp")),
        "a soft kernel; a sharp one last",
    ),
    (
        Preference(label="sharp_kernel", number=_of("kernel_class", best="sharp", worst="soft")),
        "a sharp kernel; a soft one last",
    ),
    (Preference(label="contrast", number=_of("contrast", best=True, worst=False)), "with a contrast agent"),
    (Preference(label="no_contrast", number=_of("contrast", best=False, worst=True)), "without a contrast agent"),
    (
        Preference(label="coverage", number=_negative(coverage_mm), share=COVERAGE_SHARE),
        "the longest extent along the normal; 5 % less is as good",
    ),
    (Preference(label="complete", number=_missing), "no slice missing; then the fewest"),
    (Preference(label="original", number=_of("derived", best=False, worst=True)), "original images; derived ones last"),
    (Preference(label="lossless", number=_of("lossy", best=False, worst=True)), "without lossy compression"),
    (Preference(label="many_slices", number=_negative(_n_slices)), "the most slices"),
    (Preference(label="fine_pixels", number=_pixel_mm, within=LENGTH_MM), "the smallest pixels"),
    (
        Preference(label="segmented", number=_of("is_segmented", best=True, worst=False)),
        "a segmentation or structure set was made on it",
    ),
    (Preference(label="first_study", number=_day), "the patient's earliest study"),
    (Preference(label="last_study", number=_negative(_day)), "the patient's latest study"),
)
