"""Spacing that other lengths of a header contradict.

Each of these lengths alone is known to be written wrongly, or to mean something else: images are
cut to a part after reconstruction, slices overlap or leave gaps. So spacing is doubted only where
no such reason is left, and between slices only where two lengths agree against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import starmap
from typing import Final

from medpipe.archive.closed import LOCALIZERS
from medpipe.archive.frames import Plane
from medpipe.archive.header import Header
from medpipe.archive.stacks import Stack

_MATRICES: Final = (128, 192, 256, 320, 384, 400, 512, 640, 768, 800, 1024, 1536, 2048)
"""Sides of the square that CT is reconstructed on."""
_SAME_PART: Final = 0.01
_ALIKE_PART: Final = 0.1
_TURNED_PART: Final = 0.05
_MOST_SHRUNK: Final = 3.0
_MOST_STEP: Final = 1.8
_LEAST_STEP: Final = 0.25


def is_spacing_doubtful(stack: Stack, frames: Sequence[tuple[Header, Plane]]) -> bool:
    """Tell whether other lengths of its headers contradict the spacing of a stack.

    Of a CT, the diameter of the reconstruction must be a usual number of pixels, or as many as the
    image has. Of a projection, the spacing at the detector must be in proportion to that of the
    pixels. Of slices, thickness and distance must not agree on another step.
    """
    header, _ = frames[0]
    if stack.spacing_mm is None or stack.mosaic is not None or header.is_colour:
        return False
    if stack.affine_lps is None:
        return _contradicts_detector(header)
    by_diameter = {header.facts.get("reconstruction_mm"): (header, plane) for header, plane in frames}
    return any(starmap(_contradicts_reconstruction, by_diameter.values())) or _contradicts_slices(stack, frames)


def _contradicts_reconstruction(header: Header, plane: Plane) -> bool:
    diameter_mm = header.facts.get("reconstruction_mm")
    is_made_anew = "DERIVED" in plane.image_type[:1] or bool(LOCALIZERS & set(plane.image_type))
    if header.modality != "CT" or not diameter_mm or diameter_mm < 0 or is_made_anew:
        return False
    sides = zip((header.rows, header.columns), plane.spacing_mm, strict=True)
    return not all(_is_side(diameter_mm / spacing, n_pixels) for n_pixels, spacing in sides)


def _is_side(n_reconstructed: float, n_pixels: int) -> bool:
    # a part of the reconstruction has fewer pixels than that
    sides = (n_pixels, *(side for side in _MATRICES if side > n_pixels))
    return any(abs(n_reconstructed - side) <= _SAME_PART * side for side in sides)


def _contradicts_detector(header: Header) -> bool:
    shown, measured = header.top.spacing_mm, header.detector_spacing_mm
    if len(shown) != 2 or len(measured) != 2 or min(*shown, *measured) <= 0:
        return False
    along_rows, along_columns = (one / other for one, other in zip(shown, measured, strict=True))
    shrunk = max(along_rows, along_columns, 1 / along_rows, 1 / along_columns) > _MOST_SHRUNK
    return shrunk or abs(along_rows / along_columns - 1) > _TURNED_PART


def _contradicts_slices(stack: Stack, frames: Sequence[tuple[Header, Plane]]) -> bool:
    said = {length for _, plane in frames for length in (plane.between_mm, plane.thickness_mm)}
    known = [length for length in said if length is not None and length > 0]
    if stack.verdict not in {"regular", "tilted"} or len(known) != len(said) or not known:
        return False
    assert stack.spacing_mm is not None
    step = stack.spacing_mm[0]
    agree = max(known) <= (1 + _ALIKE_PART) * min(known)
    return agree and not _LEAST_STEP * min(known) <= step <= _MOST_STEP * max(known)
