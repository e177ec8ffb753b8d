"""What headers say of stored values: real-world maps, display functions, factors of uptake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple


class RealWorldMap(NamedTuple):
    """A map from the values of an array to real-world values: value x slope + intercept.

    Attributes
    ----------
    unit : str
        ``HU``, ``BQML``, ``SUV``, a UCUM code of a closed list, or ``arbitrary``.
    slope, intercept : float or None
        None where the map is none that can be applied.
    low, high : float or None
        Values of the array that the map is for.
    """

    unit: str
    slope: float | None = None
    intercept: float | None = None
    low: float | None = None
    high: float | None = None


class RealWorldTable(NamedTuple):
    """A table of real-world values, one for each of the stored numbers that follow each other.

    Attributes
    ----------
    unit : str
        As of a :class:`RealWorldMap`.
    values : tuple of float
        Real-world values.
    first, step : float
        Value of the array that the first one is for, and how far the next is from it.
    """

    unit: str
    values: tuple[float, ...]
    first: float
    step: float


RealWorldValues = RealWorldMap | RealWorldTable


class Display(NamedTuple):
    """How a header asks for the values of an array to be shown (PS3.3 C.11.2, C.11.6).

    Attributes
    ----------
    function : str
        ``linear``, ``linear_exact``, ``sigmoid`` or ``table``; nothing where the header gives neither
        window nor table.
    center, width : float or None
        The first window.
    first : float or None
        Value that the first entry of the table is for.
    table : tuple of float
        Entries as shares of the greatest output, for consecutive values.
    inverted : bool
        Low values are shown bright.
    ends : (float, float) or None
        Values of the array that the least and the greatest number that can be stored stand for.
    """

    function: str = ""
    center: float | None = None
    width: float | None = None
    first: float | None = None
    table: tuple[float, ...] = ()
    inverted: bool = False
    ends: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuvScales:
    """What the values of a PET are multiplied with to become standardized uptake values.

    Attributes
    ----------
    by_kind : mapping of str to (tuple of float or str)
        By kind (``bw``, ``lbm``, ``lbmjames128``, ``lbmjanma``, ``ibw``, ``bsa``) one factor for
        all planes or one for each (t outer, z inner), or the reason code why there is none.
        Products are g/mL, of ``bsa`` cm2/mL.
    flags : tuple of str
        Reason codes of what is doubtful about the factors.
    """

    by_kind: Mapping[str, tuple[float, ...] | str]
    flags: tuple[str, ...] = ()

    def part(self, low: int, high: int) -> SuvScales:
        """Return the factors of some planes."""
        parts = {
            kind: found[low:high] if isinstance(found, tuple) and len(found) > 1 else found
            for kind, found in self.by_kind.items()
        }
        return replace(self, by_kind=parts)

    def to_json(self) -> dict[str, Any]:
        """Return the factors as JSON values."""
        return {"by_kind": dict(self.by_kind), "flags": list(self.flags)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> SuvScales:
        """Read what :meth:`to_json` wrote, or its copy through JSON."""
        by_kind = {kind: one if isinstance(one, str) else tuple(one) for kind, one in found["by_kind"].items()}
        return cls(by_kind=by_kind, flags=tuple(found["flags"]))
