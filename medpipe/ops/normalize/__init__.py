"""Normalizing ops: importing this package registers them."""

from __future__ import annotations

from medpipe.ops.normalize.bias import N4
from medpipe.ops.normalize.contrast import Stretch, Unsharp
from medpipe.ops.normalize.display import Polarity, Voi
from medpipe.ops.normalize.histogram import Clahe, Equalize
from medpipe.ops.normalize.scale import Percentile, WhiteStripe, ZScore
from medpipe.ops.normalize.standard import Match, Nyul
from medpipe.ops.normalize.window import Clip, Window

__all__ = [
    "N4",
    "Clahe",
    "Clip",
    "Equalize",
    "Match",
    "Nyul",
    "Percentile",
    "Polarity",
    "Stretch",
    "Unsharp",
    "Voi",
    "WhiteStripe",
    "Window",
    "ZScore",
]
