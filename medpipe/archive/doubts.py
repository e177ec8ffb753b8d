"""What is wrong, or doubtful, with frames that make a stack: contradictions between their headers.

Nothing is repaired here. What would put wrong numbers into an array refuses the stack; what
leaves the numbers as they are stored, but may not be what a reader expects, is flagged.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final

from medpipe.archive.frames import Plane
from medpipe.archive.header import Header
from medpipe.archive.lengths import is_spacing_doubtful
from medpipe.archive.phases import MEASURED, agreement, telling, times_of
from medpipe.archive.stacks import Stack, unit_of

Frames = Sequence[tuple[Header, Plane]]

_RESCALED_CLASSES: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.840.10008.5.1.4.1.1.2.1",
        "1.2.840.10008.5.1.4.1.1.128",
        "1.2.840.10008.5.1.4.1.1.130",
    }
)
"""CT and PET images, single and multi-frame: rescale values are required of them (PS3.3 A.3, A.21, A.38, A.56)."""

_ALIKE: Final[tuple[Callable[[Header, Plane], Hashable], ...]] = (
    lambda _, plane: plane.image_type[2:],
    lambda _, plane: _rounded(plane.echo_time_ms),
    lambda _, plane: _rounded(plane.inversion_time_ms),
    lambda header, _: header.facts.get("kernel"),
    lambda header, _: _rounded(header.facts.get("kvp")),
    lambda header, _: header.photometric == "MONOCHROME1",
    lambda header, _: header.signed,
)


def frames_of(stack: Stack, headers: Mapping[str, Header]) -> list[tuple[Header, Plane]]:
    """Return the frames of a stack with their headers, in the order of the members."""
    found: list[tuple[Header, Plane]] = []
    for path, frame in stack.members:
        header = headers[path]
        if frame >= 0 and header.frames:
            found.append((header, header.frames[frame]))
        else:
            found.extend((header, plane) for plane in header.frames or (header.top,))
    return found


def are_alike(frames: Frames) -> bool:
    """Tell whether frames differ in no more than their place, time and name."""
    like = frames[0][0].like if frames else ""
    return bool(like) and all(header.like == like for header, _ in frames)


def refusal_of(stack: Stack, frames: Frames) -> str:
    """Return the reason why the frames must not be one array, or an empty string."""
    sources = {(header.modality, unit_of(header), header.units.upper()) for header, _ in frames}
    patients = {header.patient_id for header, _ in frames} - {""}
    if len(sources) > 1 or len(patients) > 1:
        return "E_MIXED_SERIES"
    if not is_rescaled(stack):
        return ""
    slopes, intercepts = [plane.slope for _, plane in frames], [plane.intercept for _, plane in frames]
    lost = _is_lost(slopes, 1.0) or _is_lost(intercepts, 0.0)
    turned = len({slope > 0 for slope in slopes if slope is not None}) > 1
    # a table and a slope are two ways to the same value (PS3.3 C.11.1)
    twice = any(header.has_table and not _is_identity(plane) for header, plane in frames)
    tables = len({header.has_table for header, _ in frames}) > 1
    return "E_RESCALE" if lost or turned or twice or tables else ""


def flags_of(stack: Stack, frames: Frames) -> list[str]:
    """Return the reasons why somebody should look at the stack, the most serious first."""
    flags = list(dict.fromkeys(note for header, _ in frames for note in header.notes))
    if is_rescaled(stack) and lacks_rescale(frames):
        flags.append("W_RESCALE")
    if is_rescaled(stack) and stack.unit == "HU" and _are_shifted(frames):
        flags.append("W_INTERCEPTS")
    if stack.kind == "series4d" and stack.shape[1] == 1 and "W_LOCALIZER" not in stack.flags and not are_timed(frames):
        flags.append("W_UNTIMED")
    if stack.axes == "tzyx" and stack.mosaic is None and are_times_doubtful(stack, frames):
        flags.append("W_TIMES")
    if any(_holds_more(header) for header, _ in frames):
        flags.append("W_EXCESS")
    counted = {header.n_slices for header, _ in frames if header.modality == "PT" and header.n_slices}
    if stack.affine_lps is not None and counted and counted != {stack.shape[-3]}:
        flags.append("W_COUNT")
    if is_spacing_doubtful(stack, frames):
        flags.append("W_SPACING")
    several = any(header.facts.get("kernels", 1) > 1 for header, _ in frames)
    if several or any(len({trait(header, plane) for header, plane in frames}) > 1 for trait in _ALIKE):
        flags.append("W_MIXED")
    return flags


def concatenations_in_part(headers: Iterable[Header]) -> set[str]:
    """Return the UIDs of concatenations of which parts are missing (PS3.3 C.7.6.16.2.2.4)."""
    parts: dict[str, set[float | None]] = {}
    totals: dict[str, float] = {}
    for header in headers:
        name = header.facts.get("concatenation")
        if name:
            parts.setdefault(name, set()).add(header.facts.get("concatenation_part"))
            totals[name] = max(totals.get(name, 0.0), header.facts.get("concatenation_parts") or 0.0)
    return {name for name, found in parts.items() if len(found) < totals[name]}


def are_timed(frames: Frames) -> bool:
    """Tell whether temporal elements tell frames of one place apart."""
    return len({plane.temporal for _, plane in frames}) == len(frames)


def are_times_doubtful(stack: Stack, frames: Frames) -> bool:
    """Tell whether the measured times by which the places of a time series are ordered do not agree."""
    n_places = stack.shape[1]
    places = [[plane for _, plane in frames[place::n_places]] for place in range(n_places)]
    keyword = telling(places)
    return keyword in MEASURED and agreement(times_of(places, keyword)) != "agree"


def is_rescaled(stack: Stack) -> bool:
    """Tell whether slope and intercept apply to a stack's frames."""
    return stack.kind not in {"colour", "segmentation"}


def lacks_rescale(frames: Frames) -> bool:
    """Tell whether frames lack rescale values that their kind of image must have."""
    return any(
        header.sop_class_uid in _RESCALED_CLASSES
        and not header.has_table
        and (plane.slope is None or plane.intercept is None)
        for header, plane in frames
    )


def _is_lost(values: Sequence[float | None], default: float) -> bool:
    """Tell whether some frames lack a value that is not the default elsewhere."""
    return None in values and any(value not in {None, default} for value in values)


def _are_shifted(frames: Frames) -> bool:
    """Tell whether frames of one slope have different intercepts."""
    # with the slope the intercept follows what a slice holds, to use the range of the stored numbers
    scales = {(plane.slope, plane.intercept) for _, plane in frames}
    return len({slope for slope, _ in scales}) < len(scales)


def _is_identity(plane: Plane) -> bool:
    return plane.slope in {None, 1.0} and plane.intercept in {None, 0.0}


def _holds_more(header: Header) -> bool:
    """Tell whether native pixel data is longer than declared by what a wrong dimension could hide.

    A few bytes are padding; a row or column too few is at least as long as the shorter side.
    """
    if header.n_fragments >= 0:
        return False
    side = min(header.rows, header.columns) * header.samples * header.bits_allocated // 8
    return header.pixel_bytes - header.native_bytes >= max(side, 2)


def _rounded(measured: Any) -> float | None:
    return None if measured is None else round(float(measured), 2)
