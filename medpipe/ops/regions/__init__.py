"""Region sources that find regions in voxels, steps on regions, and how a recipe puts them together."""

from medpipe.ops.regions.body import Body, Lungs
from medpipe.ops.regions.borders import Canny, ChanVese, Edges, Watershed
from medpipe.ops.regions.brain import Brain
from medpipe.ops.regions.composed import Composed, composed
from medpipe.ops.regions.grown import Grown
from medpipe.ops.regions.steps import Close, Dilate, DropBelow, Erode, FillHoles, KeepLargest, Open
from medpipe.ops.regions.thresholds import Otsu, Threshold
from medpipe.ops.regions.tissues import Bone, Fat, Muscle
from medpipe.ops.regions.uptake import Hot, Uptake

__all__ = [
    "Body",
    "Bone",
    "Brain",
    "Canny",
    "ChanVese",
    "Close",
    "Composed",
    "Dilate",
    "DropBelow",
    "Edges",
    "Erode",
    "Fat",
    "FillHoles",
    "Grown",
    "Hot",
    "KeepLargest",
    "Lungs",
    "Muscle",
    "Open",
    "Otsu",
    "Threshold",
    "Uptake",
    "Watershed",
    "composed",
]
