"""Stacks of one file whose frames have no place: planar, colour, multi-frame, segmentation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from medpipe.archive.frames import check_plane, normal_of
from medpipe.archive.header import Header
from medpipe.archive.ordering import affine_of
from medpipe.archive.stacks import Member, Stack, owner_of, unit_of
from medpipe.keys import digest
from medpipe.types import Kind


def plain_stack(header: Header) -> Stack:
    """Return the frames of a file in stored order as a stack.

    Spacing in the plane is known where the header gives it; along z it is nominally 1 mm.
    Dose grids get an affine from their frame offsets (DICOM PS3.3 C.8.8.3.2).
    """
    kind = _kind(header)
    frames = (header.n_frames, header.rows, header.columns)
    shape, axes = ((3, *frames), "czyx") if kind == "colour" else (frames, "zyx")
    spacing = _in_plane(header) if kind != "segmentation" else ()
    stack = Stack(
        kind=kind,
        **owner_of(header),
        discriminator=digest([kind, header.sop_instance_uid or header.head_digest])[:16],
        members=(Member(header.path, -1),),
        shape=shape,
        axes=axes,
        spacing_mm=(1.0, *spacing) if spacing else None,
        thickness_known=False,
        frame_of_reference_uid=header.frame_of_reference_uid,
        verdict=kind,
        lossy=header.lossy,
        unit="arbitrary" if kind in {"colour", "segmentation"} else unit_of(header),
    )
    return replace(stack, **_dose_grid(header))


def _kind(header: Header) -> Kind:
    if header.is_segmentation:
        return "segmentation"
    if header.is_colour:
        return "colour"
    return "planar" if header.n_frames == 1 else "multiframe"


def _in_plane(header: Header) -> tuple[float, float] | tuple[()]:
    for found in (header.top.spacing_mm, header.detector_spacing_mm):
        if len(found) == 2 and min(found) > 0:
            return found[0], found[1]
    return ()


def _dose_grid(header: Header) -> dict[str, Any]:
    offsets = np.array(header.frame_offsets_mm)
    if header.n_frames < 2 or len(offsets) != header.n_frames or not header.top.placed or check_plane(header.top):
        return {}
    step = (offsets[-1] - offsets[0]) / (len(offsets) - 1)
    line = offsets[0] + np.arange(len(offsets)) * step
    # a vector that begins elsewhere than at 0 is in coordinates of the patient: not read
    if offsets[0] != 0 or step <= 0 or np.abs(offsets - line).max() > 0.01 * step:
        return {}
    affine = affine_of(header.top, header.top.position, normal_of(header.top) * step)
    spacing = (float(step), *header.top.spacing_mm)
    return {"affine_lps": affine, "spacing_mm": spacing, "thickness_known": True}
