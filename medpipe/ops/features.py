"""The extractors medpipe brings: importing this module registers them."""

from __future__ import annotations

from medpipe.ops.extract_ibsi import Ibsi
from medpipe.ops.extract_landmarks import Landmarks
from medpipe.ops.extract_lbp import Lbp
from medpipe.ops.extract_pyradiomics import Pyradiomics

__all__ = ["Ibsi", "Landmarks", "Lbp", "Pyradiomics"]
