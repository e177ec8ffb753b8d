"""Denoising of a series by principal components: what the Marchenko-Pastur law says is noise is left out.

References
----------
Veraart, Novikov, Christiaens et al., NeuroImage 142 (2016) 394, doi:10.1016/j.neuroimage.2016.08.016;
windows that overlap are averaged with weights ``1 / (1 + components)`` (Manjon et al., PLoS ONE 8
(2013) e73021, doi:10.1371/journal.pone.0073021).
"""

from __future__ import annotations

import itertools

from medpipe.types import Array
from medpipe.xp import backend_of


def mp_pca(x: Array, /, *, size: int) -> Array:
    """Return a series without the components that are noise.

    Of each window the frames are a matrix of as many columns as voxels. Its smallest eigenvalues
    are noise as long as their mean is at least what their range would be for pure noise; the rest
    is kept.

    Parameters
    ----------
    x : array of float32 (t, z, y, x)
    size : int
        Edge of the window in voxels; an axis that is shorter has a shorter window.

    Returns
    -------
    array of float32 (t, z, y, x)
        A window with a NaN gives nothing; a voxel that no window gives a value stays as it was.
    """
    xp = backend_of(x).xp
    spatial = x.shape[1:]
    edges = [min(size, n) for n in spatial]
    total, weights = xp.zeros(x.shape, dtype=xp.float32), xp.zeros(spatial, dtype=xp.float32)
    n_windows = spatial[2] - edges[2] + 1
    for z, y in itertools.product(*(range(n - edge + 1) for n, edge in zip(spatial[:2], edges[:2], strict=True))):
        band = x[:, z : z + edges[0], y : y + edges[1]]
        windows = xp.lib.stride_tricks.sliding_window_view(band, edges[2], axis=3)
        # windows of a row, each a matrix of frames by voxels
        matrices = windows.transpose(3, 0, 1, 2, 4).reshape(n_windows, x.shape[0], -1).astype(xp.float64)
        matrices, weight = _without_noise(matrices)
        matrices *= weight[:, None, None]
        parts = matrices.reshape(n_windows, x.shape[0], *edges)
        for dz, dy, dx in itertools.product(*(range(edge) for edge in edges)):
            total[:, z + dz, y + dy, dx : dx + n_windows] += parts[:, :, dz, dy, dx].T
            weights[z + dz, y + dy, dx : dx + n_windows] += weight
    return xp.where(weights > 0, total / xp.where(weights > 0, weights, xp.float32(1.0)), x)


def noise_components(eigenvalues: Array, /, *, n_frames: int, n_voxels: int) -> Array:
    """Return how many of the smallest eigenvalues are noise.

    Parameters
    ----------
    eigenvalues : array of float64 (windows, n)
        Of the frames' second moments over the voxels, rising; those that must be 0 left out.
    n_frames, n_voxels : int
        Rows and columns of the matrices.

    Returns
    -------
    array of int (windows,)
    """
    xp = backend_of(eigenvalues).xp
    n, most = eigenvalues.shape[1], max(n_frames, n_voxels)
    counts = xp.arange(1, n + 1)
    mean = xp.cumsum(eigenvalues, axis=1) / counts
    spread = (eigenvalues - eigenvalues[:, :1]) / (4.0 * xp.sqrt(counts / most))
    # rounding makes the least eigenvalues of a series without noise anything about 0
    is_noise = spread <= mean
    return xp.where(is_noise, counts, 0).max(axis=1)


def _without_noise(matrices: Array) -> tuple[Array, Array]:
    """Return matrices of what is kept, and the weight of each window."""
    xp = backend_of(matrices).xp
    n_frames, n_voxels = matrices.shape[1:]
    known = ~xp.isnan(matrices).any(axis=(1, 2))
    matrices = xp.where(known[:, None, None], matrices, 0.0)
    values, vectors = xp.linalg.eigh(matrices @ matrices.transpose(0, 2, 1) / max(n_frames, n_voxels))
    least = min(n_frames, n_voxels)
    noise = noise_components(values[:, -least:], n_frames=n_frames, n_voxels=n_voxels) + n_frames - least
    kept = xp.arange(n_frames) >= noise[:, None]
    chosen = vectors * kept[:, None, :]
    weight = known / (1.0 + n_frames - noise)
    return chosen @ (chosen.transpose(0, 2, 1) @ matrices), weight.astype(xp.float32)
