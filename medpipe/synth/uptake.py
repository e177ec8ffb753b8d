"""The PET phantom: body, lungs and heart, and spheres of known SUV."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medpipe.synth.nodule import Nodule
from medpipe.synth.noise import correlated
from medpipe.synth.shapes import Ellipsoid, Floats, Grid, Point
from medpipe.synth.thorax import LUNG_HU, Thorax

BODY_SUV = 0.8
LUNG_SUV = 0.35
HEART_SUV = 1.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Sphere:
    """A sphere of even uptake.

    Attributes
    ----------
    centre_lps : (float, float, float)
        mm.
    radius_mm : float
    suv : float
        Body-weight SUV (g/ml): the mean over the voxels whose centre is inside.
    """

    centre_lps: Point
    radius_mm: float
    suv: float

    @property
    def shape(self) -> Ellipsoid:
        """The sphere as an ellipsoid."""
        return Ellipsoid(centre_lps=self.centre_lps, semi_axes_mm=(self.radius_mm,) * 3)


def draw_spheres(rng: np.random.Generator, thorax: Thorax, nodule: Nodule) -> tuple[Sphere, ...]:
    """Draw three spheres that do not touch: the nodule's, one in the other lung, one between."""
    other = thorax.left_lung if nodule.centre_lps[0] < 0 else thorax.right_lung
    x, y, z = other.centre_lps
    places = (
        (nodule.centre_lps, (13.0, 17.0), (2.5, 6.0)),
        ((x, y + float(rng.uniform(-15, 15)), z + float(rng.uniform(-15, 15))), (14.0, 20.0), (4.0, 8.0)),
        ((0.0, -25.0, 40.0), (14.0, 17.0), (6.0, 12.0)),
    )
    return tuple(
        Sphere(
            centre_lps=(round(centre[0], 2), round(centre[1], 2), round(centre[2], 2)),
            radius_mm=round(float(rng.uniform(*radii)), 2),
            suv=round(float(rng.uniform(*suvs)), 2),
        )
        for centre, radii, suvs in places
    )


def uptake_image(
    thorax: Thorax, spheres: tuple[Sphere, ...], grid: Grid, *, noise_level: float, rng: np.random.Generator
) -> Floats:
    """Return SUV on a grid.

    Noise is Gaussian with standard deviation ``noise_level * sqrt(SUV)``, correlated between
    neighbours. Within each sphere its mean is taken away, so the mean over the sphere is its
    SUV whatever the noise.

    Parameters
    ----------
    thorax : Thorax
    spheres : tuple of Sphere
    grid : Grid
        Axial.
    noise_level : float
        Standard deviation of the noise where SUV is 1.
    rng : Generator

    Returns
    -------
    array of float32, shape of the grid; body-weight SUV, not below 0.
    """
    where = grid.coordinates()
    image = np.full(grid.shape, 0.02, dtype=np.float32)
    image[thorax.body.inside(where, grid.shape)] = BODY_SUV
    for tissue in thorax.tissues:
        if tissue.hu == LUNG_HU:
            image[tissue.shape.inside(where, grid.shape)] = LUNG_SUV
    image[_heart(where, grid)] = HEART_SUV
    masks = [sphere.shape.inside(where, grid.shape) for sphere in spheres]
    for sphere, mask in zip(spheres, masks, strict=True):
        image[mask] = sphere.suv
    noise = correlated(rng, grid.shape, sigma=noise_level, correlation_voxels=(0.6, 0.8, 0.8)) * np.sqrt(image)
    for mask in masks:
        noise[mask] -= noise[mask].mean(dtype=np.float64)
    result: Floats = np.clip(image + noise, 0, None)
    return result


def _heart(where: tuple[Floats, Floats, Floats], grid: Grid) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return Ellipsoid(centre_lps=(10.0, -20.0, -28.0), semi_axes_mm=(32.0, 28.0, 28.0)).inside(where, grid.shape)
