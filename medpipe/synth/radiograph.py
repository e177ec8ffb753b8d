"""The chest X-ray: line integrals of the same anatomy, in closed form."""

from __future__ import annotations

import math

import numpy as np

from medpipe.synth.nodule import Nodule
from medpipe.synth.noise import correlated
from medpipe.synth.shapes import Ellipsoid, Floats
from medpipe.synth.thorax import LUNG_HU, Thorax

WATER_PER_MM = 0.02
"""Attenuation of water at the energies of a chest X-ray, 1/mm."""

FULL_SCALE = 4095

_STRETCH_Z = 1.9
"""The CT stack shows the middle of the lungs, the X-ray all of them."""


def radiograph(
    thorax: Thorax,
    nodule: Nodule,
    *,
    size: int,
    spacing_mm: float,
    sigma: float,
    rng: np.random.Generator,
) -> Floats:
    """Return a frontal X-ray; bone is bright (MONOCHROME2).

    The grey value is proportional to the integral of the attenuation along y,
    mu = mu_water (1 + HU / 1000), as after the logarithm of a digital detector.

    Parameters
    ----------
    thorax : Thorax
    nodule : Nodule
    size : int
        Rows and columns.
    spacing_mm : float
        Pixel spacing in the plane of the patient.
    sigma : float
        Standard deviation of the noise, grey levels.
    rng : Generator

    Returns
    -------
    array of float32, shape (size, size)
        Grey levels 0 to 4095; the first row is the patient's upper end, the first column his right.
    """
    line = ((np.arange(size) - (size - 1) / 2) * spacing_mm).astype(np.float32)
    x, z = line[None, :], -line[:, None]
    integral = np.zeros((size, size), dtype=np.float32)
    for tissue in thorax.tissues:
        integral += _per_mm(tissue.hu, tissue.within_hu) * _stretched(tissue.shape).chord_y_mm(x, z)
    integral += _per_mm(nodule.mean_hu, LUNG_HU) * _ball(nodule).chord_y_mm(x, z)
    grey = integral * (0.8 * FULL_SCALE / float(integral.max()))
    grey = grey + correlated(rng, grey.shape, sigma=sigma, correlation_voxels=(0.5, 0.5))
    result: Floats = np.clip(grey, 0, FULL_SCALE).astype(np.float32)
    return result


def _per_mm(hu: float, within_hu: float) -> float:
    return WATER_PER_MM * (hu - within_hu) / 1000.0


def _stretched(shape: Ellipsoid) -> Ellipsoid:
    (x, y, z), (a, b, c) = shape.centre_lps, shape.semi_axes_mm
    height = c * _STRETCH_Z if math.isfinite(c) else c
    return Ellipsoid(centre_lps=(x, y, z * _STRETCH_Z), semi_axes_mm=(a, b, height))


def _ball(nodule: Nodule) -> Ellipsoid:
    x, y, z = nodule.centre_lps
    return Ellipsoid(centre_lps=(x, y, z * _STRETCH_Z), semi_axes_mm=(nodule.radius_mm,) * 3)
