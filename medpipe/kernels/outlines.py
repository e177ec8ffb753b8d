"""Outlines drawn a little differently: as much larger or smaller, or along other borders in the image.

Reference
---------
Zwanenburg et al., Sci. Rep. 9 (2019) 614, doi:10.1038/s41598-018-36938-4: perturbations of images and
outlines in place of a second scan; supervoxels by SLIC, Achanta et al., doi:10.1109/TPAMI.2012.120.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Spacing = tuple[float, float, float]

ALWAYS = 0.9
"""Share of a supervoxel within the outline from which it is always taken."""

NEVER = 0.2
"""Share below which it never is."""

_COMPACTNESS = 0.1
_FEWEST_SUPERVOXELS = 10


def resized(mask: Bools, /, *, voxels: int, spacing_mm: Spacing, rng: np.random.Generator) -> tuple[Bools, float]:
    """Return a mask with another number of voxels: those nearest to it come, or those nearest to its border go.

    Parameters
    ----------
    mask : array of bool (z, y, x)
        Not empty.
    voxels : int
        How many it is to have: at least 1, at most as many as there are.
    spacing_mm : (float, float, float)
    rng : Generator
        Decides among voxels at one distance.

    Returns
    -------
    mask : array of bool (z, y, x)
    reach_mm : float
        How far the farthest voxel that came is from the mask.
    """
    from scipy.ndimage import distance_transform_edt

    before = int(mask.sum())
    after = min(max(voxels, 1), mask.size)
    result = mask.copy()
    if after == before:
        return result, 0.0
    grows = after > before
    outside = ~mask if grows else np.pad(mask, 1)
    far = distance_transform_edt(outside, sampling=spacing_mm)
    places = np.flatnonzero(~mask) if grows else np.flatnonzero(mask)
    distances = far.reshape(-1)[places] if grows else far[1:-1, 1:-1, 1:-1].reshape(-1)[places]
    # distances of one length may differ in the last bit
    order = np.lexsort((rng.permutation(places.size), np.round(distances, 6)))
    chosen = order[: abs(after - before)]
    result.reshape(-1)[places[chosen]] = grows
    return result, float(distances[chosen].max()) if grows else 0.0


def redrawn(
    image: NDArray[np.float32], mask: Bools, /, *, spacing_mm: Spacing, size_mm3: float, rng: np.random.Generator
) -> Bools:
    """Return a mask drawn anew along the borders of supervoxels.

    Parameters
    ----------
    image : array of float32 (z, y, x)
        The surroundings of the mask; NaN is filled.
    mask : array of bool (z, y, x)
        Not empty.
    spacing_mm : (float, float, float)
    size_mm3 : float
        Mean volume of a supervoxel, at most a tenth of the mask's.
    rng : Generator

    Returns
    -------
    array of bool (z, y, x)
        Supervoxels of which at least :data:`ALWAYS` is in the mask, none of which less than
        :data:`NEVER` is, and the others with their share as probability; at least the one with the greatest.
    """
    labels = _supervoxels(image, mask, spacing_mm, size_mm3)
    sizes = np.bincount(labels.reshape(-1))
    within = np.bincount(labels[mask], minlength=sizes.size)
    share = np.divide(within, sizes, out=np.zeros(sizes.size), where=sizes > 0)
    taken = (share >= ALWAYS) | ((share >= NEVER) & (rng.random(sizes.size) < share))
    if not taken.any():
        taken[int(np.argmax(share))] = True
    found: Bools = taken[labels]
    return found


def _supervoxels(image: NDArray[np.float32], mask: Bools, spacing_mm: Spacing, size_mm3: float) -> NDArray[np.int64]:
    from skimage.segmentation import slic

    known = image[mask & np.isfinite(image)]
    # what lies around may be far brighter, or darker, than anything that matters for the outline
    low, high = (float(end) for end in np.percentile(known, [1.0, 99.0])) if known.size else (0.0, 0.0)
    filled = np.where(np.isfinite(image), image, low).astype(np.float64)
    shown = np.clip(filled, low - (high - low), high + (high - low))
    voxel_mm3 = spacing_mm[0] * spacing_mm[1] * spacing_mm[2]
    size_voxels = min(size_mm3 / voxel_mm3, int(mask.sum()) / _FEWEST_SUPERVOXELS)
    labels: NDArray[np.int64] = slic(
        shown,
        n_segments=max(round(mask.size / max(size_voxels, 1.0)), 1),
        compactness=_COMPACTNESS,
        spacing=spacing_mm,
        channel_axis=None,
        start_label=1,
    )
    return labels
