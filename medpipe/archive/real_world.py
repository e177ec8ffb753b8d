"""Real-world value maps: what stored numbers mean beside, or instead of, modality values.

They are linear or tables (PS3.3 C.7.6.16.2.11); the scaling of a dose grid (PS3.3 C.8.8.3) is a
linear one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from medpipe.archive.elements import items, number, numbers, parse, quiet, text, value
from medpipe.archive.gate import inspect
from medpipe.archive.header import Header
from medpipe.archive.mapped import MAPS, is_scaled_dose
from medpipe.values import RealWorldMap, RealWorldTable, RealWorldValues

_MOST_FLOAT32: Final = 3.4e38
_UNITS: Final = {
    "[hnsf'U]": "HU",
    "Bq/ml": "BQML",
    "g/ml{SUVbw}": "SUV",
    "{SUVbw}g/ml": "SUV",
    "1": "1",
    "%": "%",
    "Gy": "Gy",
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


def read_maps(data: bytes, header: Header) -> tuple[tuple[RealWorldValues, ...], ...]:
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
        dose = (_dose(dataset, header),) if is_scaled_dose(dataset) else ()
        known: dict[tuple[int, float, float], RealWorldValues] = {}
        return tuple(
            tuple(
                _known_map(known, item, header, frame)
                for item in _items((*groups[frame : frame + 1], *shared, dataset))
            )
            or dose
            for frame in range(header.n_frames)
        )


def _known_map(
    known: dict[tuple[int, float, float], RealWorldValues], item: Any, header: Header, frame: int
) -> RealWorldValues:
    """Return the map of an item for a frame; what frames share is read, and held, once."""
    place = id(item), *_scale(header, frame)
    if place not in known:
        known[place] = _map(item, header, frame)
    return known[place]


def _scale(header: Header, frame: int) -> tuple[float, float]:
    return (header.frames[frame] if header.frames else header.top).scale


def _dose(dataset: Any, header: Header) -> RealWorldMap:
    unit = "Gy" if text(dataset, "DoseUnits") == "GY" else "arbitrary"
    scaling = number(dataset, "DoseGridScaling")
    # dose is stored x scaling and nothing else: a rescale beside it has no place in the object
    if not scaling or scaling < 0 or header.has_table or header.top.scale != (1.0, 0.0):
        return RealWorldMap(unit=unit)
    half = 2.0 ** (header.bits_stored - 1)
    low, high = (-half, half - 1) if header.signed else (0.0, 2 * half - 1)
    return RealWorldMap(unit=unit, slope=scaling, intercept=0.0, low=low, high=high)


def _items(places: Sequence[Any]) -> Sequence[Any]:
    return next((found for found in (items(place, MAPS) for place in places) if found), ())


def _map(item: Any, header: Header, frame: int) -> RealWorldValues:
    units = items(item, "MeasurementUnitsCodeSequence")
    unit = _UNITS.get(text(units[0], "CodeValue"), "arbitrary") if units else "arbitrary"
    low = _first(item, "RealWorldValueFirstValueMapped", "DoubleFloatRealWorldValueFirstValueMapped")
    high = _first(item, "RealWorldValueLastValueMapped", "DoubleFloatRealWorldValueLastValueMapped")
    # what a modality table gave cannot be taken back to what was stored
    if low is None or high is None or header.has_table:
        return RealWorldMap(unit=unit)
    rescale, offset = _scale(header, frame)
    if "RealWorldValueLUTData" in item:
        values = _entries(item)
        sound = values and len(values) == high - low + 1 and max(map(abs, values)) <= _MOST_FLOAT32
        if not sound or low != int(low) or header.pixel_keyword != "PixelData":
            return RealWorldMap(unit=unit)
        return RealWorldTable(unit=unit, values=values, first=low * rescale + offset, step=rescale)
    slope, intercept = number(item, "RealWorldValueSlope"), number(item, "RealWorldValueIntercept")
    if slope is None or intercept is None:
        return RealWorldMap(unit=unit)
    by = slope / rescale
    ends = sorted((low * rescale + offset, high * rescale + offset))
    return RealWorldMap(unit=unit, slope=by, intercept=intercept - offset * by, low=ends[0], high=ends[1])


def _entries(item: Any) -> tuple[float, ...]:
    """Return the finite entries of a table; none if any is not."""
    found = value(item, "RealWorldValueLUTData")
    # an explicit length has no room for more than 8191 numbers: longer ones are written as UN, which is little endian
    if isinstance(found, bytes) and len(found) % 8 == 0:
        entries = np.frombuffer(found, "<f8")
        return tuple(entries.tolist()) if bool(np.isfinite(entries).all()) else ()
    return numbers(item, "RealWorldValueLUTData", may_be_long=True)


def _first(item: Any, *keywords: str) -> float | None:
    return next((found for found in (number(item, keyword) for keyword in keywords) if found is not None), None)
