"""medpipe's own ops: importing this module registers them."""

from medpipe.ops import denoise, features, normalize, padding, real_world, regions, resampling, straighten

__all__ = ["denoise", "features", "normalize", "padding", "real_world", "regions", "resampling", "straighten"]
