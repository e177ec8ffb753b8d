"""Filters that are given by their spectrum: Simoncelli's wavelet and the Riesz transform.

An axis of N voxels has the frequencies ``(n - c) / c`` with ``c = (N - 1) / 2``, shifted so that the middle comes
first: 1 is the highest there is. Where N is even none of them is 0 and none has its opposite; the real part of the
response is what the mean of a frequency and its opposite, conjugated, gives.

References
----------
IBSI 2 reference manual, "Non-separable wavelets" (Simoncelli, code PRT7) and "Riesz transformation" (code AYRS),
arXiv:2006.05470. Portilla and Simoncelli, Int. J. Comput. Vis. 40 (2000) 49, doi:10.1023/A:1026553619983.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.boundary import Boundary, widened
from medpipe.kernels.fourier import fft_of, known
from medpipe.types import Array
from medpipe.xp import backend_of


class Transfer(NamedTuple):
    """What a filter does to each frequency.

    Attributes
    ----------
    level : int or None
        Of Simoncelli's wavelet, 1 for the finest; None lets all frequencies pass.
    orders : tuple of int or None
        Orders of the Riesz transform along (x, y, z); None without it.
    """

    level: int | None = None
    orders: tuple[int, int, int] | None = None

    def at(self, along: tuple[Array, ...], /) -> Array:
        """Return the transfer function at frequencies along (z, y, x) that broadcast."""
        xp = backend_of(along[0]).xp
        radius = xp.sqrt(sum(one**2 for one in along))
        result = xp.ones_like(radius) if self.level is None else simoncelli_window(radius, level=self.level)
        if self.orders is None:
            return result
        order = sum(self.orders)
        factor = (-1j) ** order * math.sqrt(math.factorial(order) / math.prod(map(math.factorial, self.orders)))
        # at frequency 0, which has no direction, nothing passes
        unit = xp.where(radius > 0.0, radius, 1.0) ** order
        shape = math.prod(one**power for one, power in zip(reversed(along), self.orders, strict=True))
        return factor * result * xp.where(radius > 0.0, shape / unit, 0.0)


def simoncelli_window(radius: Array, /, *, level: int) -> Array:
    """Return ``cos(pi / 2 log2(2 r / r_max))`` for r from ``r_max / 4`` to ``r_max = 2^(1 - level)``, else 0."""
    xp = backend_of(radius).xp
    highest = 2.0 ** (1 - level)
    inside = (radius >= highest / 4.0) & (radius <= highest)
    return xp.where(inside, xp.cos(0.5 * math.pi * xp.log2(2.0 * xp.where(inside, radius, highest) / highest)), 0.0)


def frequencies(size: int, /) -> NDArray[np.float64]:
    """Return the frequencies of an axis in the order of a Fourier transform; 0 for a single voxel."""
    if size == 1:
        return np.zeros(1)
    middle = 0.5 * (size - 1)
    return np.asarray(np.fft.ifftshift((np.arange(size) - middle) / middle))


def filtered(x: Array, /, *, transfer: Transfer, by_slice: bool) -> Array:
    """Return the real part of the response to a filter given by its spectrum, of an image that starts anew at its ends.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        What is missing (NaN) has the mean of the others of its slice, or volume, and is missing in the result.
    transfer : Transfer
    by_slice : bool
        Each slice by itself.

    Returns
    -------
    array of float32 (z, y, x)
    """
    if not by_slice:
        return _filtered(x, transfer)
    xp = backend_of(x).xp
    result = xp.empty(x.shape, dtype=xp.float32)
    for place in range(len(x)):
        result[place] = _filtered(x[place : place + 1], transfer)[0]
    return result


def _filtered(x: Array, transfer: Transfer) -> Array:
    xp, fft = backend_of(x).xp, fft_of(x)
    image, missing = known(x)
    # the mean, which most of these filters do not let pass, would cost digits of what they do
    mean = float(xp.mean(image, dtype=xp.float64))
    spectrum = fft.rfftn(image - xp.float32(mean))
    rest = float(xp.float32(mean))
    half = spectrum.shape[-1]
    ahead = [frequencies(size) for size in x.shape]
    back = [np.roll(one[::-1], 1) for one in ahead]
    planes, rows, columns = ([xp.asarray(both[axis]) for both in (ahead, back)] for axis in range(3))
    at_zero = 0.0
    for place in range(len(spectrum)):
        there, opposite = (
            transfer.at((planes[way][place], rows[way][:, None], columns[way][None, :half])) for way in (0, 1)
        )
        passed = 0.5 * (there + opposite.conj())
        if place == 0:
            at_zero = float(passed[0, 0].real)
        spectrum[place] *= passed.astype(xp.complex64)
    result = fft.irfftn(spectrum, x.shape, overwrite_x=True)
    result += xp.float32(rest * at_zero)
    if missing is not None:
        result[missing] = xp.nan
    return result


RIESZ_MARGIN = 16
"""Voxels beyond what a filter looks at that an image goes on for before its Riesz transform, whose kernel has no end."""


def riesz_of(
    x: Array,
    response: Callable[[Array], Array],
    /,
    *,
    orders: tuple[int, int, int],
    reach: tuple[int, int, int],
    boundary: Boundary,
    by_slice: bool,
) -> Array:
    """Return the Riesz transform of what a filter responds to an image.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        What is missing (NaN) has the mean of the others of its slice, or volume, and is missing in the result.
    response : callable
        The filter: takes and returns an array of float32 (z, y, x), and lets no mean pass.
    orders : (int, int, int)
        Orders along (x, y, z).
    reach : (int, int, int)
        How far the filter looks along (z, y, x), in voxels.
    boundary : {"constant", "nearest", "wrap", "reflect"}
        What the image goes on with for `reach` and :data:`RIESZ_MARGIN` voxels before it starts anew.
    by_slice : bool

    Returns
    -------
    array of float32 (z, y, x)
    """
    xp = backend_of(x).xp
    by = riesz_margin(reach, boundary=boundary, by_slice=by_slice)
    inner = tuple(slice(more, more + n) for more, n in zip(by, x.shape, strict=True))
    transfer = Transfer(orders=orders)

    def transformed(part: Array) -> Array:
        image, missing = known(part)
        made = _filtered(response(widened(image, by=by, boundary=boundary)), transfer)[inner]
        if missing is not None:
            made[missing] = xp.nan
        return made

    if not by_slice:
        return xp.ascontiguousarray(transformed(x))
    inner = (slice(0, 1), *inner[1:])
    result = xp.empty(x.shape, dtype=xp.float32)
    for place in range(len(x)):
        result[place] = transformed(x[place : place + 1])[0]
    return result


def riesz_margin(reach: tuple[int, int, int], /, *, boundary: Boundary, by_slice: bool) -> tuple[int, int, int]:
    """Return the voxels that an image goes on for on both sides along (z, y, x) before its Riesz transform."""
    if boundary == "wrap":
        return 0, 0, 0
    z, y, x = (one + RIESZ_MARGIN for one in reach)
    return (0 if by_slice else z), y, x
