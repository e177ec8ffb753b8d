"""medpipe's own ops: importing this module registers them."""

from medpipe.ops import (
    align,
    denoise,
    extents,
    features,
    filters,
    networks,
    normalize,
    objects,
    padding,
    perturb,
    real_world,
    regions,
    resampling,
    straighten,
    suv,
    views,
)

__all__ = [
    "align",
    "denoise",
    "extents",
    "features",
    "filters",
    "networks",
    "normalize",
    "objects",
    "padding",
    "perturb",
    "real_world",
    "regions",
    "resampling",
    "straighten",
    "suv",
    "views",
]
