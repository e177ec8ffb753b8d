"""The head: a T1-weighted MR image with a known bias field and Rician noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medpipe.synth.shapes import Bools, Ellipsoid, Floats, Grid

SCALP = 900.0
SKULL = 70.0
FLUID = 200.0
GREY = 480.0
WHITE = 680.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A patient's head; the outer surface is an ellipsoid around the origin.

    Attributes
    ----------
    surface : Ellipsoid
    ventricle_scale : float
        Size of the ventricles, 1 is usual.
    """

    surface: Ellipsoid
    ventricle_scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadImage:
    """A head without noise, and what it was made of.

    Attributes
    ----------
    signal : array of float32
        Tissue signal times bias field, arbitrary units.
    tissue : array of float32
        Tissue signal without bias.
    inside : array of bool
        Within the head's surface.
    bias_strength : float
        Largest absolute logarithm of the bias field within the head.
    """

    signal: Floats
    tissue: Floats
    inside: Bools
    bias_strength: float


def draw_head(rng: np.random.Generator) -> Head:
    """Draw a head."""
    semi_axes = (float(rng.uniform(70, 76)), float(rng.uniform(88, 95)), float(rng.uniform(80, 88)))
    return Head(
        surface=Ellipsoid(centre_lps=(0.0, 0.0, 0.0), semi_axes_mm=semi_axes),
        ventricle_scale=float(rng.uniform(0.8, 1.3)),
    )


def head_image(head: Head, grid: Grid, *, bias_strength: float, rng: np.random.Generator) -> HeadImage:
    """Return the head's signal on a grid.

    Parameters
    ----------
    head : Head
    grid : Grid
        Any orientation.
    bias_strength : float
        Largest absolute logarithm of the bias field within the head, such as 0.3.
    rng : Generator
        Draws the folds of the cortex and the direction of the bias field.
    """
    where = grid.coordinates()
    inside = head.surface.inside(where, grid.shape)
    tissue = _tissue(head, grid, where, rng)
    log_bias = _log_bias(where, grid.shape, rng)
    log_bias *= bias_strength / float(np.abs(log_bias[inside]).max())
    signal = tissue * np.exp(log_bias).astype(np.float32)
    return HeadImage(signal=signal, tissue=tissue, inside=inside, bias_strength=bias_strength)


def _tissue(head: Head, grid: Grid, where: tuple[Floats, Floats, Floats], rng: np.random.Generator) -> Floats:
    image = np.zeros(grid.shape, dtype=np.float32)
    image[head.surface.inside(where, grid.shape)] = SCALP
    image[head.surface.shrunk(6).inside(where, grid.shape)] = SKULL
    image[head.surface.shrunk(12).inside(where, grid.shape)] = FLUID
    folds = ndimage.gaussian_filter(rng.standard_normal(grid.shape, dtype=np.float32), (0.7, 1.6, 1.6), mode="wrap")
    folds *= np.float32(0.10 / float(folds.std()))
    image[head.surface.shrunk(14).level(where) + 0.4 * folds < 1] = GREY
    image[head.surface.shrunk(22).level(where) + folds < 1] = WHITE
    for shape in _deep_grey():
        image[shape.inside(where, grid.shape)] = GREY
    for shape in _ventricles(head.ventricle_scale):
        image[shape.inside(where, grid.shape)] = FLUID
    return image


def _deep_grey() -> tuple[Ellipsoid, ...]:
    return tuple(Ellipsoid(centre_lps=(side * 22.0, -4.0, 2.0), semi_axes_mm=(9.0, 18.0, 12.0)) for side in (-1, 1))


def _ventricles(scale: float) -> tuple[Ellipsoid, ...]:
    size = (5.5 * scale, 26.0 * scale, 10.0 * scale)
    return tuple(Ellipsoid(centre_lps=(side * 8.0, -2.0, 14.0), semi_axes_mm=size) for side in (-1, 1))


def _log_bias(
    where: tuple[Floats, Floats, Floats], shape: tuple[int, int, int], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return a smooth field of unknown scale: a slope and a bowl, as surface coils give."""
    slope = rng.standard_normal(3)
    slope /= np.linalg.norm(slope)
    field = np.zeros(shape)
    for along, coordinate in zip(slope, where, strict=True):
        field += along * coordinate / 90.0 - 0.35 * (coordinate / 90.0) ** 2
    return field
