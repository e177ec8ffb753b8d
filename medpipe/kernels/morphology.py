"""Shape of a region, and where its intensities lie in it (IBSI family HCUG).

The four densities of the oriented minimum bounding box and of the minimum volume enclosing
ellipsoid, for which the standard has no reference values, stand by themselves: they cost more
than all the others of a small region.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.autocorrelation import moran_geary
from medpipe.kernels.enclosing import smallest_box_sides, smallest_ellipsoid_semi_axes
from medpipe.kernels.mesh import convex_hull, largest_distance_mm, mask_surface, outer_vertices_mm
from medpipe.kernels.sums import sum_of
from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy, to_numpy

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Spacing = tuple[float, float, float]

_LEGENDRE_TERMS = 20
_COVARIANCE_DDOF = 1
_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
"""Axes of the products that are summed."""


def shape_features(mask: Array, /, *, spacing_mm: Spacing) -> dict[str, float]:
    """Return what the mask alone tells: sizes, roundness, axes and densities.

    Parameters
    ----------
    mask : NumPy array of bool (z, y, x), not empty
        The morphological mask, cropped or not.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    dict of str to float
        mm, mm², mm³, 1/mm or none; NaN where undefined (principal axes of one voxel, the
        density of an ellipsoid without volume).

    Notes
    -----
    IBSI reference manual, chapter "Morphological features"; codes RNU0 to 7T7F.
    """
    area, volume = mask_surface(mask, spacing_mm=spacing_mm)
    points = outer_vertices_mm(mask, spacing_mm=spacing_mm)
    semi_axes = ellipsoid_semi_axes_mm(mask, spacing_mm=spacing_mm)
    return {
        "volume": volume,
        "vol_approx": float(np.count_nonzero(mask)) * math.prod(spacing_mm),
        "area_mesh": area,
        "av": area / volume,
        **_roundness(volume, area),
        **_axes(semi_axes),
        **_box_and_hull(points, volume, area),
        "vol_dens_aee": _ratio(volume, 4.0 / 3.0 * math.pi * math.prod(semi_axes)),
        "area_dens_aee": _ratio(area, ellipsoid_area_mm2(semi_axes)),
    }


def enclosing_features(mask: Array, /, *, spacing_mm: Spacing) -> dict[str, float]:
    """Return how densely a mask fills the smallest box and the smallest ellipsoid around it.

    Parameters
    ----------
    mask : NumPy array of bool (z, y, x), not empty
        The morphological mask, cropped or not.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    dict of str to float
        Ratios of volumes and of areas.

    Notes
    -----
    IBSI codes ZH1A, IQYR, SWZ1 and BRI8; there is no consensus on their values.
    """
    area, volume = mask_surface(mask, spacing_mm=spacing_mm)
    hull = convex_hull(outer_vertices_mm(mask, spacing_mm=spacing_mm))
    a, b, c = smallest_box_sides(hull)
    semi_axes = smallest_ellipsoid_semi_axes(hull)
    return {
        "vol_dens_ombb": volume / (a * b * c),
        "area_dens_ombb": area / (2.0 * (a * b + b * c + c * a)),
        "vol_dens_mvee": volume / (4.0 / 3.0 * math.pi * math.prod(semi_axes)),
        "area_dens_mvee": area / ellipsoid_area_mm2(semi_axes),
    }


def intensity_shape_features(
    image: Array, mask: Array, intensity_mask: Array, /, *, spacing_mm: Spacing, autocorrelation: bool
) -> dict[str, float]:
    """Return what intensities add to the shape: shift of the centre of mass, Moran's I, Geary's C.

    Parameters
    ----------
    image : array (z, y, x)
        Intensities.
    mask : NumPy array of bool (z, y, x), not empty
        The morphological mask.
    intensity_mask : array of bool (z, y, x), not empty, where the image is
        The voxels left after re-segmentation.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.
    autocorrelation : bool
        Whether to compute Moran's I and Geary's C; NaN otherwise.

    Returns
    -------
    dict of str to float
        ``com`` (mm; NaN if intensities sum to 0), ``moran_i``, ``geary_c``.

    Notes
    -----
    IBSI codes KLMA, N365, NPT7. The mass is signed: with intensities around 0, as HU are, the
    weighted centre can lie far outside the region.
    """
    moran = geary = math.nan
    if autocorrelation:
        moran, geary = moran_geary(image, intensity_mask, spacing_mm=spacing_mm)
    sums = _moments(mask)
    shape_centre = sums[1:4] / float(sums[0]) * np.asarray(spacing_mm)
    xp = backend_of(image).xp
    mass_centre = _centre_of_mass(xp.where(intensity_mask, image, image.dtype.type(0)), spacing_mm)
    return {"com": float(np.linalg.norm(shape_centre - mass_centre)), "moran_i": moran, "geary_c": geary}


def ellipsoid_semi_axes_mm(mask: Array, /, *, spacing_mm: Spacing) -> tuple[float, float, float]:
    """Return the semi-axes (longest first) of the ellipsoid with the mask's second moments.

    ``2 sqrt(l)`` for each eigenvalue l of the sample covariance (divided by N - 1) of the voxel
    centres in mm; NaN for a single voxel.
    """
    count, *sums = map(int, _moments(mask))
    if count < 2:
        return math.nan, math.nan, math.nan
    covariance = np.empty((3, 3))
    for place, (a, b) in enumerate(_PAIRS):
        # whole numbers: nothing is lost where the mask lies far from the first voxel
        spread = (count * sums[3 + place] - sums[a] * sums[b]) / (count * (count - _COVARIANCE_DDOF))
        covariance[a, b] = covariance[b, a] = spread * (spacing_mm[a] * spacing_mm[b])
    values = np.linalg.eigvalsh(covariance)[::-1]
    # A flat region has an eigenvalue of 0, which rounding would turn into a tiny axis.
    values = np.where(values > values[0] * 1e-12, values, 0.0)
    longest, middle, shortest = (2.0 * math.sqrt(value) for value in values)
    return longest, middle, shortest


def ellipsoid_area_mm2(semi_axes_mm: tuple[float, float, float], /) -> float:
    """Return the area the standard gives the ellipsoid, to 20 Legendre terms.

    ``4 pi a b sum_v (alpha beta)^v / (1 - 4 v²) P_v((alpha² + beta²) / (2 alpha beta))`` with
    ``alpha² = 1 - b²/a²``, ``beta² = 1 - c²/a²`` and a >= b >= c.

    Notes
    -----
    This is the formula of IBSI code RDD2, which its reference values follow. It is exact for a
    sphere only: the series gives the true area with ``1 - c²/a²`` and ``1 - c²/b²`` instead, 4 %
    less for the standard's digital phantom.

    The terms ``(alpha beta)^v P_v`` are built by Bonnet's recursion multiplied through by
    ``alpha beta``, which needs no special case for a sphere or a spheroid.
    """
    a, b, c = semi_axes_mm
    if math.isnan(a):
        return math.nan
    alpha2, beta2 = 1.0 - (b / a) ** 2, 1.0 - (c / a) ** 2
    middle, product2 = (alpha2 + beta2) / 2.0, alpha2 * beta2
    before, now, total = 0.0, 1.0, 0.0
    for v in range(_LEGENDRE_TERMS + 1):
        total += now / (1.0 - 4.0 * v * v)
        before, now = now, ((2 * v + 1) * middle * now - v * product2 * before) / (v + 1)
    return 4.0 * math.pi * a * b * total


def _roundness(volume: float, area: float) -> dict[str, float]:
    compactness = 36.0 * math.pi * volume**2 / area**3
    return {
        "comp_1": volume / (math.sqrt(math.pi) * area**1.5),
        "comp_2": compactness,
        "sph_dispr": compactness ** (-1.0 / 3.0),
        "sphericity": compactness ** (1.0 / 3.0),
        "asphericity": compactness ** (-1.0 / 3.0) - 1.0,
    }


def _axes(semi_axes: tuple[float, float, float]) -> dict[str, float]:
    major, minor, least = (2.0 * axis for axis in semi_axes)
    return {
        "pca_maj_axis": major,
        "pca_min_axis": minor,
        "pca_least_axis": least,
        "pca_elongation": _ratio(minor, major),
        "pca_flatness": _ratio(least, major),
    }


def _box_and_hull(points: Floats, volume: float, area: float) -> dict[str, float]:
    z, y, x = np.ptp(points, axis=0)
    hull = convex_hull(points)
    return {
        "diam": largest_distance_mm(hull.corners),
        "vol_dens_aabb": volume / float(z * y * x),
        "area_dens_aabb": area / float(2.0 * (z * y + y * x + x * z)),
        # of a convex mesh the two differ in their last bits
        "vol_dens_conv_hull": min(volume / hull.volume_mm3, 1.0),
        "area_dens_conv_hull": area / hull.area_mm2,
    }


@njit(cache=True, nogil=True)
def _moments(mask: Array) -> Counts:
    """Return how many voxels there are, the sums of their places (z, y, x), and of the products :data:`_PAIRS`."""
    sums = np.zeros(4 + len(_PAIRS), dtype=np.int64)
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            n = x_sum = x_squares = 0
            for x in range(mask.shape[2]):
                n += mask[z, y, x]
                x_sum += x * mask[z, y, x]
                x_squares += x * x * mask[z, y, x]
            sums += np.array([n, n * z, n * y, x_sum, n * z * z, n * y * y, x_squares, n * z * y, z * x_sum, y * x_sum])
    return sums


def _centre_of_mass(mass: Array, spacing_mm: Spacing) -> Floats:
    """Return the centre of a mass (z, y, x), contiguous, in mm; summed plane by plane in float64."""
    if is_cupy(mass):
        sums = (mass.sum(axis=others, dtype="float64") for others in ((1, 2), (0, 2), (0, 1)))
        along_z, along_y, along_x = map(to_numpy, sums)
        return _centre((along_z, along_y, along_x), sum_of(mass.reshape(-1)), spacing_mm)
    depth, height, width = mass.shape
    lines = (np.zeros(depth), np.zeros(height), np.zeros(width))
    # the plane's rows below the sums of those before: added one after the other
    rows = np.empty((height + 1, width))
    for z in range(depth):
        rows[0], rows[1:] = lines[2], mass[z]
        lines[0][z] = rows[1:].sum()
        lines[1][:] += rows[1:].sum(axis=1)
        lines[2][:] = rows.sum(axis=0)
    return _centre(lines, sum_of(mass.reshape(-1)), spacing_mm)


def _centre(lines: tuple[Array, Array, Array], total: float, spacing_mm: Spacing) -> Floats:
    """Return the centre (z, y, x) in mm of a mass by its sums along each axis; NaN if the mass sums to 0."""
    if total == 0.0:
        return np.full(3, math.nan)
    centre = [float(line @ np.arange(len(line))) / total for line in lines]
    return np.asarray(np.multiply(centre, spacing_mm))


def _ratio(above: float, below: float) -> float:
    return above / below if below != 0.0 else math.nan
