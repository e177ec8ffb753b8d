"""The nodule: two kinds that differ in outline and inner texture, and overlap in both.

A smooth nodule is nearly round and nearly even; a spiculated one has spikes and patches. The
parameters of the two kinds come from distributions that overlap, while size, density and
place do not depend on the kind: a classifier has something to learn and something to miss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medpipe.synth.cohort import NoduleKind
from medpipe.synth.shapes import Bools, Ellipsoid, Floats, Grid, Point

Box = tuple[slice, slice, slice]

_N_SPIKES = 11
_SPIKE_SHARPNESS = 14.0
_MEDIAN_TEXTURE_HU = {"smooth": 24.0, "spiculated": 44.0}
_MEDIAN_SPIKE = {"smooth": 0.12, "spiculated": 0.24}
_SPREAD = 0.40


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodule:
    """A nodule's parameters.

    Attributes
    ----------
    kind : {"smooth", "spiculated"}
    centre_lps : (float, float, float)
        mm.
    radius_mm : float
        Radius without spikes.
    mean_hu, texture_sd_hu : float
        Density and its standard deviation inside, before blur and noise.
    spike_height : float
        Height of the spikes as a fraction of the radius.
    spikes : tuple of (float, float, float)
        Unit vectors towards the spikes.
    texture_seed : int
    """

    kind: NoduleKind
    centre_lps: Point
    radius_mm: float
    mean_hu: float
    texture_sd_hu: float
    spike_height: float
    spikes: tuple[Point, ...]
    texture_seed: int


def draw_nodule(rng: np.random.Generator, *, kind: NoduleKind, lung: Ellipsoid, growth: float) -> Nodule:
    """Draw a nodule inside a lung, in its upper outer part.

    Parameters
    ----------
    rng : Generator
    kind : {"smooth", "spiculated"}
    lung : Ellipsoid
    growth : float
        Factor on the radius (1 at the first visit).
    """
    outwards = np.sign(lung.centre_lps[0])
    offset = (float(outwards * rng.uniform(0, 12)), float(rng.uniform(-18, 18)), float(rng.uniform(8, 22)))
    x, y, z = (round(c + o, 2) for c, o in zip(lung.centre_lps, offset, strict=True))
    spikes = rng.standard_normal((_N_SPIKES, 3))
    spikes /= np.linalg.norm(spikes, axis=1, keepdims=True)
    return Nodule(
        kind=kind,
        centre_lps=(x, y, z),
        radius_mm=round(float(rng.uniform(10.5, 15.0)) * growth, 2),
        mean_hu=round(float(rng.normal(35, 12)), 1),
        texture_sd_hu=round(float(_MEDIAN_TEXTURE_HU[kind] * np.exp(rng.normal(0, _SPREAD))), 2),
        spike_height=round(float(_MEDIAN_SPIKE[kind] * np.exp(rng.normal(0, _SPREAD))), 3),
        spikes=tuple((float(a), float(b), float(c)) for a, b, c in spikes),
        texture_seed=int(rng.integers(2**31)),
    )


def depth_mm(nodule: Nodule, grid: Grid) -> tuple[Box, Floats]:
    """Return how deep voxel centres lie below the nodule's surface.

    Parameters
    ----------
    nodule : Nodule
    grid : Grid
        Axial.

    Returns
    -------
    box : tuple of slice
        Part of the grid that holds the nodule with a margin of at least one voxel.
    depth : array of float32, shape of the box
        mm, positive inside. Along the ray in direction u the surface is at
        r (1 + h (sum of spikes exp(k (u.s - 1)) - their mean)).
    """
    reach = nodule.radius_mm * (1 + 2 * nodule.spike_height)
    box = _box(grid, nodule.centre_lps, reach)
    x, y, z = (c - np.float32(o) for c, o in zip(grid.coordinates(), nodule.centre_lps, strict=True))
    offsets = np.stack(np.broadcast_arrays(x[:, :, box[2]], y[:, box[1]], z[box[0]]), axis=-1).astype(np.float64)
    distance = np.linalg.norm(offsets, axis=-1)
    directions = offsets / np.maximum(distance, 1e-6)[..., None]
    bumps = np.exp(_SPIKE_SHARPNESS * (directions @ np.transpose(nodule.spikes) - 1)).sum(axis=-1)
    # The mean of exp(k (cos - 1)) over the sphere is (1 - exp(-2k)) / 2k: without it spikes would add volume.
    mean = _N_SPIKES * (1 - np.exp(-2 * _SPIKE_SHARPNESS)) / (2 * _SPIKE_SHARPNESS)
    surface = nodule.radius_mm * (1 + nodule.spike_height * np.minimum(bumps - mean, 2.0))
    return box, (surface - distance).astype(np.float32)


def paint_nodule(image: Floats, nodule: Nodule, grid: Grid) -> Bools:
    """Write the nodule into a CT image (HU) that the caller owns; return its mask.

    Returns
    -------
    array of bool, shape of the grid: voxels whose centre is inside the surface.
    """
    box, depth = depth_mm(nodule, grid)
    inside = depth > 0
    density = nodule.mean_hu + nodule.texture_sd_hu * _texture(nodule.texture_seed, depth.shape)
    image[box][inside] = density[inside]
    mask = np.zeros(grid.shape, dtype=np.bool_)
    mask[box] = inside
    return mask


def _texture(seed: int, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    white = np.random.default_rng(seed).standard_normal(shape)
    patches = ndimage.gaussian_filter(white, 0.9, mode="wrap")
    standard: npt.NDArray[np.float64] = patches / patches.std()
    return standard


def _box(grid: Grid, centre_lps: Point, reach_mm: float) -> Box:
    steps = reversed(grid.spacing_mm)
    slices = []
    for centre, origin, step, n in zip(centre_lps, grid.origin_lps, steps, reversed(grid.shape), strict=True):
        low = int(np.floor((centre - reach_mm - origin) / step)) - 1
        high = int(np.ceil((centre + reach_mm - origin) / step)) + 2
        slices.append(slice(max(low, 0), min(high, n)))
    x, y, z = slices
    return z, y, x
