"""Lengths that contradict the spacing of pixels and slices, and those that do not."""

from __future__ import annotations

import numpy as np

from tests.faults.edits import edited, planted
from tests.faults.registry import fault, sound
from tests.faults.series import Series, decimals
from tests.faults.verdicts import Found, Planted, flagged, harmless, is_volume


def _square(series: Series, n_reconstructed: float) -> Series:
    """Return a CT of square pixels with the diameter of so many."""
    step, side, _ = series.spacing_mm
    changed = edited(
        series, PixelSpacing=decimals([side, side]), ReconstructionDiameter=decimals([side * n_reconstructed])[0]
    )
    return changed.changed(spacing_mm=(step, side, side))


@sound("a part of a reconstruction, its diameter that of the whole", "ct")
def cut_out(series: Series, rng: np.random.Generator) -> Planted:
    changed = _square(series, float(rng.choice([256, 512, 768, 1024])) * rng.uniform(0.995, 1.005))
    return planted(changed, rng, harmless(changed))


@sound("a diameter of the reconstruction as it was before pixels were made anew", "ct")
def made_anew(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(_square(series, 451.0), ImageType=["DERIVED", "SECONDARY", "MPR"])
    return planted(changed, rng, harmless(changed))


@sound("thickness and distance of slices that overlap", "ct", "mr")
def overlapping(series: Series, rng: np.random.Generator) -> Planted:
    thickness = decimals([series.spacing_mm[0] * rng.uniform(1.0, 3.9)])[0]
    return planted(edited(series, SliceThickness=thickness, SpacingBetweenSlices=thickness), rng, harmless(series))


@fault("a diameter of the reconstruction that no number of pixels has", "ct")
def other_diameter(series: Series, rng: np.random.Generator) -> Planted:
    changed = _square(series, float(rng.choice([451.0, 569.0, 666.0, 870.0])))
    return planted(changed, rng, flagged(changed, "W_SPACING"))


@fault("pixels as wide as they are high beside a diameter, and not so", "ct")
def not_square(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, ReconstructionDiameter=decimals([512 * series.spacing_mm[1]])[0])
    # a width a half or so larger may by chance be that of another usual side
    wide = [round(1.23 * series.spacing_mm[1], 4)]
    changed = edited(changed, PixelSpacing=decimals([series.spacing_mm[1], *wide]))
    changed = changed.changed(spacing_mm=(*series.spacing_mm[:2], *wide))
    return planted(changed, rng, flagged(changed, "W_SPACING"))


@fault("every other slice missing, against thickness and distance", "ct", "mr")
def every_other(series: Series, rng: np.random.Generator) -> Planted:
    step = decimals(series.spacing_mm[:1])[0]
    changed = edited(series, SliceThickness=step, SpacingBetweenSlices=step)
    kept = list(range(0, len(series), 2))
    changed.files[:] = [changed.files[index] for index in kept]

    def check(found: Found) -> bool:
        told = [stack.flags for stack in found.stacks] == [("W_SPACING",)] and len(found.volumes) == 1
        return told and is_volume(*found.volumes[0], series, kept)

    return planted(changed, rng, check)
