"""Denoising ops: importing this package registers them."""

from medpipe.ops.denoise.alike import Bilateral, NonLocalMeans
from medpipe.ops.denoise.counts import Anscombe
from medpipe.ops.denoise.edges import CurvatureDiffusion, PeronaMalik, TotalVariation
from medpipe.ops.denoise.series import MpPca
from medpipe.ops.denoise.smoothing import Gaussian, Median
from medpipe.ops.denoise.speckle import Lee, Srad
from medpipe.ops.denoise.wavelet import Wavelet

__all__ = [
    "Anscombe",
    "Bilateral",
    "CurvatureDiffusion",
    "Gaussian",
    "Lee",
    "Median",
    "MpPca",
    "NonLocalMeans",
    "PeronaMalik",
    "Srad",
    "TotalVariation",
    "Wavelet",
]
