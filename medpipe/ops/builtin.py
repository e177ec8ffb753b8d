"""medpipe's own ops: importing this module registers them."""

from medpipe.ops import (
    denoise,
    extents,
    features,
    normalize,
    objects,
    padding,
    real_world,
    regions,
    resampling,
    straighten,
    suv,
)

__all__ = [
    "denoise",
    "extents",
    "features",
    "normalize",
    "objects",
    "padding",
    "real_world",
    "regions",
    "resampling",
    "straighten",
    "suv",
]
