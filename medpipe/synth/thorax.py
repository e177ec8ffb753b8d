"""The chest: anatomy of ellipsoids, and its CT image in HU."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medpipe.synth.nodule import Nodule, paint_nodule
from medpipe.synth.shapes import Bools, Ellipsoid, Floats, Grid

AIR_HU = -1000.0
LUNG_HU = -850.0
FAT_HU = -100.0
MUSCLE_HU = 50.0
BLOOD_HU = 42.0
BONE_HU = 620.0
MARROW_HU = 180.0

_VESSELS_PER_LUNG = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Tissue:
    """An ellipsoid of one density, painted over what it lies in.

    Attributes
    ----------
    shape : Ellipsoid
    hu : float
    within_hu : float
        Density of what it displaces, for projections.
    """

    shape: Ellipsoid
    hu: float
    within_hu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Thorax:
    """A patient's chest.

    Attributes
    ----------
    body : Ellipsoid
        Outer surface: an elliptic cylinder along z.
    right_lung, left_lung : Ellipsoid
    tissues : tuple of Tissue
        In painting order.
    """

    body: Ellipsoid
    right_lung: Ellipsoid
    left_lung: Ellipsoid
    tissues: tuple[Tissue, ...]


def draw_thorax(rng: np.random.Generator) -> Thorax:
    """Draw a chest around the origin of patient space (x to the left, y to the back, z up)."""
    width, depth = float(rng.uniform(133, 142)), float(rng.uniform(93, 102))
    fat_mm = float(rng.uniform(7, 14))
    body = _column((0, 0), (width, depth))
    side, lung = float(rng.uniform(58, 63)), (float(rng.uniform(42, 46)), depth - 33, float(rng.uniform(60, 65)))
    right = Ellipsoid(centre_lps=(-side, -2.0, 0.0), semi_axes_mm=lung)
    left = Ellipsoid(centre_lps=(side, -2.0, 0.0), semi_axes_mm=lung)
    heart = Ellipsoid(centre_lps=(10.0, -20.0, -28.0), semi_axes_mm=(float(rng.uniform(34, 40)), 31.0, 32.0))
    back = depth - fat_mm - 24
    tissues = (
        Tissue(shape=body, hu=FAT_HU, within_hu=AIR_HU),
        Tissue(shape=_column((0, 0), (width - fat_mm, depth - fat_mm)), hu=MUSCLE_HU, within_hu=FAT_HU),
        Tissue(shape=right, hu=LUNG_HU, within_hu=MUSCLE_HU),
        Tissue(shape=left, hu=LUNG_HU, within_hu=MUSCLE_HU),
        Tissue(shape=heart, hu=BLOOD_HU, within_hu=-200.0),
        Tissue(shape=_column((14, back - 26), (11, 11)), hu=BLOOD_HU, within_hu=MUSCLE_HU),
        Tissue(shape=_column((0, back), (19, 16)), hu=BONE_HU, within_hu=MUSCLE_HU),
        Tissue(shape=_column((0, back), (15, 12)), hu=MARROW_HU, within_hu=BONE_HU),
        Tissue(shape=_column((0, back - 20), (5, 5)), hu=10.0, within_hu=MUSCLE_HU),
        Tissue(shape=_trachea(), hu=AIR_HU, within_hu=MUSCLE_HU),
    )
    return Thorax(body=body, right_lung=right, left_lung=left, tissues=tissues)


def thorax_image(thorax: Thorax, nodule: Nodule, grid: Grid, rng: np.random.Generator) -> tuple[Floats, Bools]:
    """Return the chest without noise or blur, and the nodule's mask.

    Parameters
    ----------
    thorax : Thorax
    nodule : Nodule
    grid : Grid
        Axial.
    rng : Generator
        Draws the lung vessels.

    Returns
    -------
    image : array of float32, shape of the grid
        HU.
    mask : array of bool, shape of the grid
    """
    where = grid.coordinates()
    image = np.full(grid.shape, AIR_HU, dtype=np.float32)
    for tissue in thorax.tissues:
        image[tissue.shape.inside(where, grid.shape)] = tissue.hu
    image[_ribs(thorax.body, where, grid.shape)] = BONE_HU
    image[_table(thorax.body).inside(where, grid.shape)] = FAT_HU
    for lung in (thorax.right_lung, thorax.left_lung):
        _paint_vessels(image, lung, grid, rng)
    mask = paint_nodule(image, nodule, grid)
    return image, mask


def blurred(image: Floats, *, sigma_voxels: tuple[float, float, float]) -> Floats:
    """Return the image as a scanner with a Gaussian point spread would see it."""
    result: Floats = ndimage.gaussian_filter(image, sigma_voxels, mode="nearest")
    return result


def _column(centre: tuple[float, float], semi_axes_mm: tuple[float, float]) -> Ellipsoid:
    return Ellipsoid(centre_lps=(*centre, 0.0), semi_axes_mm=(*semi_axes_mm, math.inf))


def _trachea() -> Ellipsoid:
    return Ellipsoid(centre_lps=(0.0, 5.0, 90.0), semi_axes_mm=(8.0, 8.0, 75.0))


def _table(body: Ellipsoid) -> Ellipsoid:
    return _column((0, body.semi_axes_mm[1] + 15), (125, 4))


def _ribs(body: Ellipsoid, where: tuple[Floats, Floats, Floats], shape: tuple[int, int, int]) -> Bools:
    shell = body.shrunk(16).inside(where, shape) & ~body.shrunk(22).inside(where, shape)
    sloping = np.cos(2 * np.pi * (where[2] + 0.4 * where[1]) / 26) > 0.35
    ribs: Bools = shell & sloping
    return ribs


def _paint_vessels(image: Floats, lung: Ellipsoid, grid: Grid, rng: np.random.Generator) -> None:
    hilum = np.array([0.55 * lung.centre_lps[0], 0.0, 0.0])
    ends = rng.standard_normal((_VESSELS_PER_LUNG, 3))
    ends *= (rng.uniform(0.5, 0.9, _VESSELS_PER_LUNG) / np.linalg.norm(ends, axis=1))[:, None]
    ends = ends * np.asarray(lung.semi_axes_mm) + np.asarray(lung.centre_lps)
    parenchyma = lung.inside(grid.coordinates(), grid.shape) & (image == LUNG_HU)
    for end, radius_mm in zip(ends, rng.uniform(2.0, 4.0, _VESSELS_PER_LUNG), strict=True):
        box, share = _tube(grid, hilum, end, float(radius_mm))
        lit = np.maximum(image[box], LUNG_HU + (BLOOD_HU - LUNG_HU) * share)
        image[box] = np.where(parenchyma[box], lit, image[box])


def _tube(
    grid: Grid,
    start: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    end: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    radius_mm: float,
) -> tuple[tuple[slice, slice, slice], Floats]:
    """Return the share of each voxel (0 to 1) in a tube that thins out towards its end."""
    x, y, z = grid.coordinates()
    low, high = np.minimum(start, end) - radius_mm - 4, np.maximum(start, end) + radius_mm + 4
    spans = []
    for place, (a, b) in zip((x, y, z), zip(low, high, strict=True), strict=True):
        first, last = np.searchsorted(place.ravel(), (a, b))
        spans.append(slice(int(first), int(last)))
    offsets = (x[:, :, spans[0]] - start[0], y[:, spans[1]] - start[1], z[spans[2]] - start[2])
    axis = end - start
    along = sum(o * a for o, a in zip(offsets, axis, strict=True)) / float(axis @ axis)
    along = np.clip(along, 0, 1)
    squares = [(o - along * a) ** 2 for o, a in zip(offsets, axis, strict=True)]
    distance = np.sqrt(squares[0] + squares[1] + squares[2])
    edge = (radius_mm * (1 - 0.6 * along) - distance) / grid.spacing_mm[2] + 0.5
    return (spans[2], spans[1], spans[0]), np.clip(edge, 0, 1).astype(np.float32)
