"""The spacing of pictures that have no place: at the detector, or in a region of ultrasound."""

from __future__ import annotations

import math
from typing import Any

from medpipe.archive.elements import integer, items, number, numbers


def detector_spacing(dataset: Any) -> tuple[float, ...]:
    """Return (rows, columns) spacing of a projection image in mm; PS3.3 10.7.1.3."""
    spacing = numbers(dataset, "ImagerPixelSpacing")
    if len(spacing) == 2:
        factor = number(dataset, "EstimatedRadiographicMagnificationFactor") or 1.0
        at_patient = tuple(step / factor for step in spacing) if factor > 0 else ()
        return at_patient if all(map(math.isfinite, at_patient)) else ()
    spacing = numbers(dataset, "NominalScannedPixelSpacing")
    if len(spacing) == 2:
        return spacing
    regions = items(dataset, "SequenceOfUltrasoundRegions")
    if len(regions) == 1:
        region = regions[0]
        steps = number(region, "PhysicalDeltaY"), number(region, "PhysicalDeltaX")
        in_cm = integer(region, "PhysicalUnitsXDirection") == 3 == integer(region, "PhysicalUnitsYDirection")
        if in_cm and steps[0] and steps[1]:
            return abs(steps[0]) * 10, abs(steps[1]) * 10
    return ()
