"""The chest of a visit: what its CT, PET and X-ray are images of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from medpipe.synth.cohort import Visit
from medpipe.synth.nodule import Nodule, draw_nodule
from medpipe.synth.shapes import Bools, Floats, Grid, centred_grid
from medpipe.synth.thorax import Thorax, draw_thorax, thorax_image
from medpipe.synth.truth import NoduleTruth, runs_of

_GROWTH_PER_VISIT = 1.08


@dataclass(frozen=True, slots=True, kw_only=True)
class Chest:
    """A chest and its image as an ideal CT would see it.

    Attributes
    ----------
    thorax : Thorax
    nodule : Nodule
    grid : Grid
        Of the first CT reconstruction.
    ideal : array of float32
        HU without blur and noise, on ``grid``.
    mask : array of bool
        The nodule on ``grid``.
    """

    thorax: Thorax
    nodule: Nodule
    grid: Grid
    ideal: Floats
    mask: Bools

    def nodule_truth(self) -> NoduleTruth:
        """Return what is known of the nodule."""
        volume_mm3 = float(self.mask.sum()) * math.prod(self.grid.spacing_mm)
        return NoduleTruth(
            kind=self.nodule.kind,
            centre_lps=self.nodule.centre_lps,
            radius_mm=self.nodule.radius_mm,
            spike_height=self.nodule.spike_height,
            mean_hu=self.nodule.mean_hu,
            texture_sd_hu=self.nodule.texture_sd_hu,
            volume_mm3=round(volume_mm3, 3),
            diameter_mm=round((6 * volume_mm3 / math.pi) ** (1 / 3), 3),
            shape=self.grid.shape,
            runs=runs_of(self.mask),
        )


def make_chest(visit: Visit) -> Chest:
    """Return the chest of a visit: the patient's anatomy, the nodule a little larger each time."""
    rng = visit.patient_rng("chest")
    thorax = draw_thorax(rng)
    lung = thorax.left_lung if rng.integers(2) else thorax.right_lung
    growth = _GROWTH_PER_VISIT**visit.number
    nodule = draw_nodule(rng, kind=visit.patient.kind, lung=lung, growth=growth)
    in_plane = round(float(rng.uniform(3.3, 3.6)), 2)
    step = round(float(rng.uniform(3.8, 4.4)), 1)
    shape = (2 * int(rng.integers(16, 21)), 96, 96)
    grid = centred_grid(shape, (step, in_plane, in_plane), (0.0, 8.0, 0.0))
    ideal, mask = thorax_image(thorax, nodule, grid, rng)
    return Chest(thorax=thorax, nodule=nodule, grid=grid, ideal=ideal, mask=mask)
