"""Perturbations: what might have been otherwise in a scan or its outlines. Importing this registers them."""

from medpipe.ops.perturb.moving import Rotate, Shift
from medpipe.ops.perturb.noise import AddNoise
from medpipe.ops.perturb.outlines import Contour, Grow

__all__ = ["AddNoise", "Contour", "Grow", "Rotate", "Shift"]
