"""medpipe's own ops: importing this module registers them."""

from medpipe.ops import denoise, features, normalize, objects, regions, resampling, suv

__all__ = ["denoise", "features", "normalize", "objects", "regions", "resampling", "suv"]
