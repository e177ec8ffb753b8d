"""medpipe's own ops: importing this module registers them."""

from medpipe.ops import denoise, features, normalize, regions, resampling, suv

__all__ = ["denoise", "features", "normalize", "regions", "resampling", "suv"]
