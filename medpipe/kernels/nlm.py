"""Non-local means in three dimensions: a voxel becomes the mean of those whose surroundings look alike.

The distance of two voxels is the mean squared difference of the cubes of voxels around them.

References
----------
Buades, Coll and Morel, Multiscale Model. Simul. 4 (2005) 490, doi:10.1137/040616024; the cube
has equal weights. Wiest-Daessle et al., MICCAI 2008, doi:10.1007/978-3-540-85990-1_21, for
images whose noise is Rician.
"""

from __future__ import annotations

import numpy as np

from medpipe.kernels.alike import Weighing, means_of_alike
from medpipe.types import Array
from medpipe.xp import backend_of


def non_local_means(x: Array, /, *, patch_size: int, distance: int, h: float, sigma: float, rician: bool) -> Array:
    """Return the weighted mean of the voxels around each voxel.

    ``w = exp(-max(D - 2 sigma^2, 0) / h^2)`` with D the mean squared difference of two cubes.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    patch_size : int
        Edge of the cubes that are compared, odd.
    distance : int
        Voxels up to which others are looked at, along each axis.
    h : float
        How different cubes may be, in the unit of the image.
    sigma : float
        Standard deviation of the noise; a difference that noise explains is none.
    rician : bool
        Take means of squares and subtract 2 sigma^2, the bias of a magnitude.

    Returns
    -------
    array of float32 (z, y, x)
        Beyond the border the image is mirrored, the edge voxel being the mirror. NaN wherever a
        voxel that is looked at is NaN.

    Notes
    -----
    The mean square of a magnitude is ``A^2 + 2 sigma^2`` however small the signal A, so that no other rule is
    needed where it is below 2 sigma. A mean of squares below ``2 sigma^2``, as half of them are in air, gives 0.
    ``sqrt(|m^2 - sigma^2|)`` (Gudbjartsson and Patz 1995) is for the magnitudes of single voxels: of means it
    leaves 0.75 sigma in air, and 0.18 sigma at a signal of 1 sigma. Koay and Basser's inversion of the mean
    (J. Magn. Reson. 179 (2006) 317, doi:10.1016/j.jmr.2006.01.016) gives what this does.
    """
    weighing = _weighing(x, patch_size=patch_size, distance=distance, h=h, sigma=sigma)
    result = means_of_alike(x, weighing, squared=rician)
    return _unbiased(result, sigma) if rician else result


def reaches_of(
    shape: tuple[int, ...], /, *, patch_size: int, distance: int
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return half the cubes and half the window, voxels along (z, y, x); along an axis of one voxel there is nothing."""
    z, y, x = (int(n > 1) for n in shape)
    half = patch_size // 2
    return (z * half, y * half, x * half), (z * distance, y * distance, x * distance)


def _weighing(x: Array, *, patch_size: int, distance: int, h: float, sigma: float) -> Weighing:
    halves, reaches = reaches_of(x.shape, patch_size=patch_size, distance=distance)
    window = [2 * reach + 1 for reach in reaches]
    n_voxels = float(np.prod([2 * half + 1 for half in halves]))
    return Weighing(
        halves=halves,
        scale=1.0 / (n_voxels * h * h),
        free=2.0 * sigma * sigma / (h * h),
        closeness=np.ones(window, np.float32),
    )


def _unbiased(squares: Array, sigma: float) -> Array:
    xp = backend_of(squares).xp
    return xp.sqrt(xp.maximum(squares - xp.float32(2.0 * sigma * sigma), 0))
