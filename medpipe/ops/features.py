"""The extractors medpipe brings: importing this module registers them."""

from __future__ import annotations

from medpipe.ops.extract_edges import EdgeDensity
from medpipe.ops.extract_fractal import Fractal
from medpipe.ops.extract_gabor import GaborBank
from medpipe.ops.extract_haralick import Haralick
from medpipe.ops.extract_hog import Hog
from medpipe.ops.extract_hu import HuMoments
from medpipe.ops.extract_ibsi import Ibsi
from medpipe.ops.extract_landmarks import Landmarks
from medpipe.ops.extract_lbp import Lbp
from medpipe.ops.extract_pyradiomics import Pyradiomics
from medpipe.ops.extract_quality import Quality

__all__ = [
    "EdgeDensity",
    "Fractal",
    "GaborBank",
    "Haralick",
    "Hog",
    "HuMoments",
    "Ibsi",
    "Landmarks",
    "Lbp",
    "Pyradiomics",
    "Quality",
]
