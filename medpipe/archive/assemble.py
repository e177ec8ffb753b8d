"""From headers to stacks: every file gets one outcome, every stack one verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

from medpipe.archive.closed import LOCALIZERS, SECTIONAL, is_image_class
from medpipe.archive.doubts import (
    Frames,
    are_alike,
    concatenations_in_part,
    flags_of,
    frames_of,
    is_rescaled,
    lacks_rescale,
    refusal_of,
)
from medpipe.archive.duplicates import Looks, sift
from medpipe.archive.frames import Plane, check_plane
from medpipe.archive.header import Header
from medpipe.archive.ordering import Lattice, by_position, by_time, lattice_of, without_tail
from medpipe.archive.other.stack import block_stacks
from medpipe.archive.padding import padding_values
from medpipe.archive.plain import plain_stack
from medpipe.archive.sheets import mosaic_stacks
from medpipe.archive.splitting import Part, split
from medpipe.archive.stacks import Slice, Stack, owner_of, unit_of
from medpipe.archive.strays import with_strays
from medpipe.archive.suv import suv_scales
from medpipe.keys import digest
from medpipe.reasons import reason
from medpipe.types import Kind

_Series = tuple[str, str, str]
OutcomeName = Literal["used", "catalogued", "duplicate", "skipped", "quarantined"]

_CODES: Final = {"uneven": "W_UNEVEN", "missing_slices": "E_GAP"}
_CATALOGUED: Final = frozenset({"S_VIDEO", "S_AUDIO", "S_WHOLE_SLIDE"})
_WAVEFORMS: Final = "1.2.840.10008.5.1.4.1.1.9."
"""What the SOP classes of waveforms and sounds begin with."""
_PLAUSIBLE_MM: Final = (1e-6, 1e4)
"""Steps between voxels that an image can have, from electron microscopy to far beyond a body."""


class Outcome(NamedTuple):
    """What became of a file, and why (a reason code, or an empty string)."""

    outcome: OutcomeName
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What an archive's headers make.

    Attributes
    ----------
    stacks : tuple of Stack
        In a stable order; refused ones among them.
    outcomes : mapping of str to Outcome
        One for every path.
    """

    stacks: tuple[Stack, ...]
    outcomes: Mapping[str, Outcome]


def assemble(headers: Sequence[Header], looks: Looks | None = None) -> Assembly:
    """Sort headers into stacks, whatever their order.

    Parameters
    ----------
    headers : sequence of Header
        Of whole series; paths are unique.
    looks : Looks, optional
        Looks into files; asked only for those that share a SOPInstanceUID within a series.
        Without it such files are kept apart and flagged, unless they were read as the same.

    Returns
    -------
    Assembly
        Series are never joined; every path has one outcome.
    """
    outcomes: dict[str, Outcome] = {}
    images: list[Header] = []
    lost: dict[_Series, list[Header]] = {}
    for header in headers:
        # what is like others is a sound image
        settled = None if header.like else _settled(header)
        if settled is None:
            images.append(header)
            continue
        outcomes[header.path] = settled
        if settled.outcome != "skipped":
            lost.setdefault(_series_of(header), []).append(header)
    sifted = sift(images, looks)
    outcomes.update({copy.path: Outcome("duplicate", "E_DUP_UID_SAME") for copy in sifted.copies})
    outcomes.update({path: Outcome("quarantined", code) for path, code in sifted.unreadable.items()})
    for header in images if sifted.unreadable else ():
        if header.path in sifted.unreadable:
            lost.setdefault(_series_of(header), []).append(header)
    stacks: list[Stack] = []
    for series in _by_series(sifted.kept):
        by_path = {header.path: header for header in series}
        found = _series_stacks(series, sifted.conflicting)
        in_part = concatenations_in_part(series)
        finished = [_finished(stack, by_path, sifted.conflicting, in_part) for stack in found]
        stacks.extend(with_strays(finished, by_path, lost.get(_series_of(series[0]), ())))
    stacks.sort(key=lambda stack: (stack.study_uid, stack.series_uid, stack.discriminator, stack.members))
    outcomes.update(_stack_outcomes(stacks))
    return Assembly(stacks=tuple(stacks), outcomes=outcomes)


def _settled(header: Header) -> Outcome | None:
    if header.code and header.sop_class_uid and not header.has_pixels and not is_image_class(header.sop_class_uid):
        # a cut object that never had pixels is still worth a line in the catalogue
        return Outcome("catalogued", header.code)
    if header.code in _CATALOGUED:
        return Outcome("catalogued", header.code)
    if header.code:
        skipped = reason(header.code).severity == "info"
        return Outcome("skipped" if skipped else "quarantined", header.code)
    if not header.has_pixels:
        code = "S_WAVEFORM" if header.sop_class_uid.startswith(_WAVEFORMS) else "E_UNSUPPORTED_SOP"
        return Outcome("catalogued", "" if header.is_structure_set else code)
    return None


def _by_series(headers: Sequence[Header]) -> list[list[Header]]:
    series: dict[_Series, list[Header]] = {}
    alike: dict[str, list[Header]] = {}
    for header in headers:
        found = alike.get(header.like)
        if found is None:
            found = series.setdefault(_series_of(header), [])
            if header.like:
                alike[header.like] = found
        found.append(header)
    return [series[key] for key in sorted(series)]


def _series_of(header: Header) -> _Series:
    return header.study_uid, header.series_uid, "" if header.series_uid else header.patient_id


def _series_stacks(headers: Sequence[Header], conflicting: Mapping[str, str]) -> list[Stack]:
    stacks: list[Stack] = []
    files: list[Header] = []
    sheets: list[Header] = []
    lone: list[Header] = []
    placed: list[Slice] = []
    sound: dict[str, bool] = {}
    for header in headers:
        if header.like and header.path not in conflicting:
            # but for its position, a slice lies as those like it
            if header.like not in sound:
                sound[header.like] = header.n_frames == 1 and not check_plane(header.top)
            if sound[header.like] and len(header.top.position) == 3:
                placed.append(Slice(header, 0, header.top))
            else:
                lone.append(header)
            continue
        slices = [] if header.path in conflicting else _slices(header)
        if slices:
            placed.extend(slices)
        elif header.block is not None:
            files.append(header)
        elif header.is_mosaic and header.path not in conflicting:
            sheets.append(header)
        else:
            lone.append(header)
    stacks.extend(block_stacks(files))
    kinds = {_picture_kind(one.header) for one in placed} if lone else set()
    stacks.extend(_lone_stack(header, conflicting, kinds) for header in lone)
    stacks.extend(mosaic_stacks(sheets))
    for part in split(placed):
        stacks.extend(_part_stacks(part))
    return stacks


def _slices(header: Header) -> list[Slice]:
    """Return the frames as slices if every one of them says, in sound numbers, where it lies."""
    if header.is_segmentation or header.is_mosaic or (header.frames and header.is_colour):
        return []
    planes = header.frames or ((header.top,) if header.n_frames == 1 else ())
    if not all(plane.placed and not check_plane(plane) for plane in planes):
        return []
    return [Slice(header, frame, plane) for frame, plane in enumerate(planes)]


def _picture_kind(header: Header) -> tuple[Any, ...]:
    return header.sop_class_uid, header.modality, header.rows, header.columns, header.top.image_type[:1]


def _lone_stack(header: Header, conflicting: Mapping[str, str], placed_kinds: set[tuple[Any, ...]]) -> Stack:
    twin = conflicting.get(header.path, "")
    stacks = mosaic_stacks([header]) if header.is_mosaic else []
    if not stacks and _slices(header):
        stacks = [stack for part in split(_slices(header)) for stack in _part_stacks(part)]
    stack = stacks[0] if len(stacks) == 1 else plain_stack(header)
    code = _bad_place(header)
    if not code and stack.kind == "planar" and header.modality in SECTIONAL and _picture_kind(header) in placed_kinds:
        # its neighbours have a place, so it has lost its own
        code = "E_MISSING_TAG"
    if code:
        stack = replace(stack, verdict="refused", code=code, flags=(code,))
    return replace(stack, discriminator=digest([stack.discriminator, header.sop_instance_uid, twin])[:16])


def _bad_place(header: Header) -> str:
    # a place given in numbers that make no sense is an error; no place at all is none
    if header.is_segmentation or header.is_mosaic or header.is_colour:
        return ""
    planes = header.frames or ((header.top,) if header.n_frames == 1 else ())
    if header.modality in SECTIONAL and any(plane.position and not plane.spacing_mm for plane in planes):
        return "E_SPACING"
    if header.modality in SECTIONAL and (_half_placed(planes) or (header.n_groups and not header.frames)):
        return "E_MISSING_TAG"
    return next((code for plane in planes if plane.placed for code in (check_plane(plane),) if code), "")


def _half_placed(planes: Sequence[Plane]) -> bool:
    some = any(plane.placed for plane in planes) and not all(plane.placed for plane in planes)
    return some or any(plane.position and not plane.orientation for plane in planes)


def _part_stacks(part: Part) -> list[Stack]:
    places = by_position(part.slices)
    counts = {len(place) for place in places}
    if len(counts) > 1:
        return _cut_series(part, places)
    volumes = by_time(places)
    if volumes is not None and not (part.slices[0].header.is_colour and len(volumes) > 1):
        ordered = [one for volume in volumes for one in volume]
        return [_stack(ordered, part.traits, lattice_of(volumes[0]), n_times=len(volumes))]
    if len(places) > 1:
        return [_stack(part.slices, part.traits, "E_AMBIGUOUS_4D")]
    # several images of one place that nothing tells apart are no time series
    return [
        _stack([one], {**part.traits, "instance": one.header.sop_instance_uid}, lattice_of([one])) for one in places[0]
    ]


def _cut_series(part: Part, places: list[list[Slice]]) -> list[Stack]:
    """Return the complete volumes of a time series and, refused, what there is of its last one; or all refused."""
    cut = None if part.slices[0].header.is_colour else without_tail(places)
    lattice = "E_REPEATED_POSITIONS" if cut is None else lattice_of(cut.volumes[0])
    if cut is None or isinstance(lattice, str):
        return [_stack(part.slices, part.traits, "E_REPEATED_POSITIONS")]
    ordered = [one for volume in cut.volumes for one in volume]
    whole = _stack(ordered, part.traits, lattice, n_times=len(cut.volumes))
    rest = _stack(cut.rest, {**part.traits, "rest": True}, "E_INCOMPLETE")
    return [replace(whole, flags=("W_PARTIAL", *whole.flags)), rest]


def _stack(slices: Sequence[Slice], traits: dict[str, Any], lattice: Lattice | str, *, n_times: int = 1) -> Stack:
    header = slices[0].header
    refused = isinstance(lattice, str)
    n_slices = len(slices) // n_times
    shape: tuple[int, ...] = (n_slices, header.rows, header.columns)
    axes = "zyx"
    kind: Kind = "single" if n_slices == 1 else "volume"
    if header.is_colour:
        kind, shape, axes = "colour", (3, *shape), "czyx"
    elif n_times > 1:
        kind, shape, axes = "series4d", (n_times, *shape), "tzyx"
    if header.frames:
        kind = "enhanced"
    stack = Stack(
        kind=kind,
        **owner_of(header),
        discriminator=digest(traits)[:16],
        members=tuple(one.member for one in slices),
        shape=shape,
        axes=axes,
        frame_of_reference_uid=header.frame_of_reference_uid,
        lossy=any(one.header.lossy for one in slices),
        unit="arbitrary" if header.is_colour else unit_of(header),
        verdict="refused" if refused else "",
        flags=(lattice,) if isinstance(lattice, str) else _flags(slices, lattice),
    )
    if isinstance(lattice, str):
        return stack
    return replace(
        stack,
        verdict=lattice.verdict,
        spacing_mm=lattice.spacing_mm,
        affine_lps=lattice.affine_lps,
        slice_positions_mm=lattice.slice_positions_mm,
        missing_mm=lattice.missing_mm,
        tilt_deg=lattice.tilt_deg,
        thickness_known=lattice.thickness_known,
    )


def _flags(slices: Sequence[Slice], lattice: Lattice) -> tuple[str, ...]:
    """Return what is true of a lattice as codes, the most serious first."""
    flags = [_CODES[lattice.verdict]] if lattice.verdict in _CODES else []
    if LOCALIZERS & set(slices[0].plane.image_type):
        flags.append("W_LOCALIZER")
    if lattice.tilt_deg is not None:
        flags.append("W_TILTED")
    return (*flags,) if lattice.thickness_known else (*flags, "NO_SPACING")


def _finished(stack: Stack, headers: Mapping[str, Header], conflicting: Mapping[str, str], in_part: set[str]) -> Stack:
    paths = stack.paths
    n_source_bytes = sum([headers[path].size for path in paths])
    stack = stack if _is_plausible(stack) else _refused(stack, "E_SPACING")
    frames = frames_of(stack, headers)
    shown = frames[:1] if stack.axes == "zyx" and are_alike(frames) else frames
    code = "" if stack.refused else refusal_of(stack, shown)
    stack = _refused(stack, code) if code else stack
    if stack.refused:
        flags = stack.flags or (stack.code,)
    else:
        stack = _with_values(stack, shown)
        stack = replace(stack, suv=suv_scales(stack.members, frames, headers.values()) if is_rescaled(stack) else None)
        conflict = ["E_DUP_UID_DIFF"] if conflicting and conflicting.keys() & set(paths) else []
        lossy = ["W_LOSSY"] if stack.lossy else []
        parts = {header.facts.get("concatenation") for header, _ in shown} if in_part else set()
        lacking = ["W_COUNT"] if in_part & parts else []
        flags = tuple(dict.fromkeys((*conflict, *stack.flags, *lacking, *flags_of(stack, shown), *lossy)))
    return replace(stack, code=flags[0] if flags else "", flags=flags, n_source_bytes=n_source_bytes)


def _with_values(stack: Stack, frames: Frames) -> Stack:
    """Return the stack with what becomes of stored values on their way into the array."""
    stack = replace(
        stack,
        real_world_map=any(header.has_real_world_map for header, _ in frames),
        monochrome1=any(header.photometric == "MONOCHROME1" for header, _ in frames),
    )
    if not is_rescaled(stack):
        return stack
    tables = any(header.has_table for header, _ in frames)
    rescaled = any(plane.slope is not None or plane.intercept is not None for _, plane in frames)
    stored = [() if header.has_table else header.padding for header, _ in frames]
    return replace(
        stack,
        values="table" if tables else "rescale" if rescaled else "stored",
        # stored values have no unit where what gives them one is missing
        unit="arbitrary" if lacks_rescale(frames) else stack.unit,
        padding=padding_values(stored, [plane.scale for _, plane in frames]),
    )


def _is_plausible(stack: Stack) -> bool:
    """Tell whether the steps are ones an image can have: what is resampled grows with them without bound."""
    least, most = _PLAUSIBLE_MM
    return stack.refused or stack.spacing_mm is None or all(least <= step <= most for step in stack.spacing_mm)


def _refused(stack: Stack, code: str) -> Stack:
    return replace(
        stack,
        verdict="refused",
        code=code,
        flags=(code,),
        spacing_mm=None,
        affine_lps=None,
        slice_positions_mm=None,
        missing_mm=None,
        tilt_deg=None,
    )


def _stack_outcomes(stacks: Sequence[Stack]) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    for stack in stacks:
        if not stack.refused:
            used = Outcome("used", "E_DUP_UID_DIFF" if stack.code == "E_DUP_UID_DIFF" else "")
            outcomes.update(dict.fromkeys(stack.paths, used))
            continue
        refused = Outcome("quarantined", stack.code)
        for path in stack.paths:
            outcomes.setdefault(path, refused)
    return outcomes
