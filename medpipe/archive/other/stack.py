"""Stacks of one file that holds a whole volume with its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medpipe.archive.frames import Plane, Vector, check_plane
from medpipe.archive.header import Header
from medpipe.archive.stacks import Member, Stack, owner_of, unit_of
from medpipe.keys import digest
from medpipe.types import Kind


def block_stacks(headers: Sequence[Header]) -> list[Stack]:
    """Return the volumes of the files of one series, which bear one name with different endings.

    Whether they are one image kept twice or two nobody can tell by that: ``W_ENDINGS`` says so
    of each. A mask and its image may share a name.
    """
    stacks = [_block_stack(header) for header in headers]
    if sum(stack.kind != "segmentation" for stack in stacks) < 2:
        return stacks
    return [
        stack if stack.kind == "segmentation" or stack.refused else replace(stack, flags=(*stack.flags, "W_ENDINGS"))
        for stack in stacks
    ]


def _block_stack(header: Header) -> Stack:
    """Return the volume of a file that is not DICOM.

    The affine stays as the file gives it. A shear within half a pixel over all slices is none,
    as for DICOM; axes of a plane that are not at right angles refuse the stack.
    """
    block = header.block
    assert block is not None
    n_times, n_slices = block.side("t"), block.side("z")
    shape: tuple[int, ...] = (n_slices, header.rows, header.columns)
    axes = "zyx"
    if header.is_colour:
        shape, axes = (3, *shape), "czyx"
    elif n_times > 1:
        shape, axes = (n_times, *shape), "tzyx"
    kind = _kind(header, n_times)
    stack = Stack(
        kind=kind,
        **owner_of(header),
        discriminator=digest([kind, header.sop_instance_uid or header.head_digest])[:16],
        members=(Member(header.path, -1),),
        shape=shape,
        axes=axes,
        unit="arbitrary" if kind in {"colour", "segmentation"} else unit_of(header),
    )
    if not block.affine_lps:
        z, y, x = block.spacing_mm or (0.0, 0.0, 0.0)
        unplaced = "multiframe" if kind == "series4d" else kind
        return replace(stack, verdict=unplaced, spacing_mm=(z, y, x) if block.spacing_mm else None)
    code = _bad_axes(block.affine_lps)
    if code:
        return replace(stack, verdict="refused", code=code, flags=(code,))
    spacing_mm, sideways = _steps(np.array(block.affine_lps).reshape(4, 4))
    tilted = sideways * (n_slices - 1) >= 0.5 * min(spacing_mm[1:])
    verdict = "tilted" if tilted else "single" if n_slices == 1 else "regular"
    return replace(
        stack,
        verdict=kind if kind == "segmentation" else verdict,
        spacing_mm=spacing_mm,
        affine_lps=block.affine_lps,
        missing_mm=None if n_slices == 1 else (),
        tilt_deg=math.degrees(math.atan2(sideways, spacing_mm[0])) if tilted else None,
        flags=("W_TILTED",) if tilted else (),
    )


def _kind(header: Header, n_times: int) -> Kind:
    if header.is_segmentation:
        return "segmentation"
    if header.is_colour:
        return "colour"
    if n_times > 1:
        return "series4d"
    assert header.block is not None
    return "enhanced" if header.block.affine_lps else "multiframe"


def _bad_axes(affine: tuple[float, ...]) -> str:
    steps = np.array(affine).reshape(4, 4)[:3, :2]
    lengths = np.linalg.norm(steps, axis=0)
    row, column = (steps / lengths).T
    plane = Plane(
        orientation=(*map(float, row), *map(float, column)), spacing_mm=(float(lengths[1]), float(lengths[0]))
    )
    return check_plane(plane)


def _steps(matrix: Vector) -> tuple[tuple[float, float, float], float]:
    """Return the spacing (z along the normal, y, x), and how far slices move sideways from one to the next."""
    normal = np.cross(matrix[:3, 0], matrix[:3, 1])
    normal /= np.linalg.norm(normal)
    step = matrix[:3, 2]
    along = float(step @ normal)
    x_mm, y_mm = np.linalg.norm(matrix[:3, :2], axis=0)
    return (along, float(y_mm), float(x_mm)), float(np.linalg.norm(step - along * normal))
