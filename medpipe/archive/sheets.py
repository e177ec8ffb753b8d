"""Stacks of mosaics: each sheet is one volume, the sheets of a series are times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medpipe.archive.header import Header
from medpipe.archive.ordering import affine_of
from medpipe.archive.stacks import Member, Stack, owner_of, unit_of
from medpipe.archive.vendor import Mosaic
from medpipe.keys import digest


def mosaic_stacks(headers: Sequence[Header]) -> list[Stack]:
    """Return the stacks of a series' sheets, one per kind of sheet; refused where undescribed."""
    groups: dict[str, list[Header]] = {}
    for header in headers:
        groups.setdefault(digest(_traits(header)), []).append(header)
    return [_stack(groups[name], name[:16]) for name in sorted(groups)]


def _traits(header: Header) -> dict[str, object]:
    mosaic = header.mosaic
    return {
        "rows": header.rows,
        "columns": header.columns,
        "image_type": [header.top.image_type[:1], header.top.image_type[2:]],
        "echo_time": None if header.top.echo_time_ms is None else round(header.top.echo_time_ms, 2),
        "orientation": [round(item, 2) + 0.0 for item in header.top.orientation],
        "position": None if mosaic is None else [round(item, 1) + 0.0 for item in mosaic.position],
        "tiles": None if mosaic is None else [mosaic.n_tiles, mosaic.tile_rows, mosaic.tile_columns, mosaic.reverse],
    }


def _stack(headers: list[Header], discriminator: str) -> Stack:
    ordered = sorted(headers, key=_time_order)
    header, mosaic = ordered[0], ordered[0].mosaic
    if mosaic is None or header.n_frames != 1 or header.is_colour:
        return _refused(ordered, discriminator, "E_MOSAIC")
    step = np.array(mosaic.step_mm)
    return Stack(
        kind="mosaic",
        **owner_of(header),
        discriminator=discriminator,
        members=tuple(Member(one.path, 0) for one in ordered),
        shape=_shape(mosaic, len(ordered)),
        axes="tzyx" if len(ordered) > 1 else "zyx",
        spacing_mm=(float(np.linalg.norm(step)), *header.top.spacing_mm),  # type: ignore[arg-type]  # two by check_plane
        affine_lps=affine_of(header.top, mosaic.position, step),
        frame_of_reference_uid=header.frame_of_reference_uid,
        verdict="regular",
        lossy=any(one.lossy for one in ordered),
        unit=unit_of(header),
        mosaic=mosaic,
    )


def _refused(headers: list[Header], discriminator: str, code: str) -> Stack:
    header = headers[0]
    return Stack(
        kind="mosaic",
        **owner_of(header),
        discriminator=discriminator,
        members=tuple(Member(one.path, 0) for one in headers),
        shape=(len(headers), header.rows, header.columns),
        frame_of_reference_uid=header.frame_of_reference_uid,
        verdict="refused",
        code=code,
        lossy=any(one.lossy for one in headers),
    )


def _shape(mosaic: Mosaic, n_times: int) -> tuple[int, ...]:
    one = (mosaic.n_tiles, mosaic.tile_rows, mosaic.tile_columns)
    return (n_times, *one) if n_times > 1 else one


def _time_order(header: Header) -> tuple[float, str, str]:
    number = header.instance_number
    return float("-inf") if number is None else number, header.sop_instance_uid, header.head_digest
