"""Filters whose response maps are images of their own (IBSI 2): importing this package registers them."""

from medpipe.ops.filters.gabor import Gabor
from medpipe.ops.filters.laplacian import LaplacianOfGaussian
from medpipe.ops.filters.response import ResponseFilter
from medpipe.ops.filters.wavelets import SeparableWavelet, Simoncelli
from medpipe.ops.filters.windows import Laws, Mean

__all__ = [
    "Gabor",
    "LaplacianOfGaussian",
    "Laws",
    "Mean",
    "ResponseFilter",
    "SeparableWavelet",
    "Simoncelli",
]
