"""Real-world value maps: what stored numbers mean beside, or instead of, modality values (PS3.3 C.7.6.16.2.11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from medpipe.archive.elements import items, number, parse, quiet, text
from medpipe.archive.gate import inspect
from medpipe.archive.header import Header
from medpipe.types import RealWorldMap

_SEQUENCE: Final = "RealWorldValueMappingSequence"
_UNITS: Final = {
    "[hnsf'U]": "HU",
    "Bq/ml": "BQML",
    "g/ml{SUVbw}": "SUV",
    "{SUVbw}g/ml": "SUV",
    "1": "1",
    "%": "%",
    "ms": "ms",
    "s": "s",
    "/s": "1/s",
    "1/s": "1/s",
    "/min": "1/min",
    "mm2/s": "mm2/s",
    "um2/s": "um2/s",
    "10*-3.mm2/s": "10*-3.mm2/s",
    "10-3.mm2/s": "10*-3.mm2/s",
    "mg/ml": "mg/ml",
    "ml/min/100g": "ml/min/100g",
    "Hz": "Hz",
    "mm": "mm",
}
"""UCUM codes of units, as a closed list: header text goes no further."""


def read_maps(data: bytes, header: Header) -> tuple[tuple[RealWorldMap, ...], ...]:
    """Return the maps of each frame of a file, in terms of the values that the array holds.

    Parameters
    ----------
    data : bytes
        The whole file, which passed decoding.
    header : Header
        Of this file.
    """
    with quiet():
        dataset = parse(inspect(data).data)
        shared = items(dataset, "SharedFunctionalGroupsSequence")[:1]
        groups: Sequence[Any] = items(dataset, "PerFrameFunctionalGroupsSequence")
        return tuple(
            tuple(_map(item, header, frame) for item in _items((*groups[frame : frame + 1], *shared, dataset)))
            for frame in range(header.n_frames)
        )


def _items(levels: Sequence[Any]) -> Sequence[Any]:
    return next((found for found in (items(level, _SEQUENCE) for level in levels) if found), ())


def _map(item: Any, header: Header, frame: int) -> RealWorldMap:
    units = items(item, "MeasurementUnitsCodeSequence")
    unit = _UNITS.get(text(units[0], "CodeValue"), "arbitrary") if units else "arbitrary"
    slope, intercept = number(item, "RealWorldValueSlope"), number(item, "RealWorldValueIntercept")
    low = _first(item, "RealWorldValueFirstValueMapped", "DoubleFloatRealWorldValueFirstValueMapped")
    high = _first(item, "RealWorldValueLastValueMapped", "DoubleFloatRealWorldValueLastValueMapped")
    known = slope is not None and intercept is not None and low is not None and high is not None
    # what a modality table gave cannot be taken back to what was stored
    if not known or header.has_table or "RealWorldValueLUTData" in item:
        return RealWorldMap(unit=unit)
    assert slope is not None
    assert intercept is not None
    assert low is not None
    assert high is not None
    rescale, offset = (header.frames[frame] if header.frames else header.top).scale
    by = slope / rescale
    ends = sorted((low * rescale + offset, high * rescale + offset))
    return RealWorldMap(unit=unit, slope=by, intercept=intercept - offset * by, low=ends[0], high=ends[1])


def _first(item: Any, *keywords: str) -> float | None:
    return next((found for found in (number(item, keyword) for keyword in keywords) if found is not None), None)
