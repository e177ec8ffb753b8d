"""Companions: segmentations and structure sets made on a stack's series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from medpipe.archive.drawn import Drawn
from medpipe.archive.grid import Grid, grid_of
from medpipe.archive.header import Header
from medpipe.archive.other.masks import read_masks
from medpipe.archive.rtstruct import read_structures
from medpipe.archive.seg import HALF, read_segments
from medpipe.archive.stacks import Stack
from medpipe.errors import Rejected
from medpipe.types import Companions, Geometry, Region, Structure

_TOLD: Final = frozenset({"E_GRID", "E_CONTOUR", "E_FRAME", "E_LABELS"})
_SET_BYTES: Final = 10
_SEG_BYTES: Final = 4
"""Bytes of memory that reading takes for each byte of a structure set (text, parsed) and of a segmentation."""
_NAMED_ONLY: Final = frozenset({"EMPTY_ROI", "S_NO_AREA"})
"""Codes of structures without a closed contour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A segmentation or structure set, and what it was made on.

    Attributes
    ----------
    sop_instance_uid, content, path : str
        In the order objects are sorted by.
    study_uid : str
    series, frames : tuple of str
        UIDs of the series and frames of reference it names.
    reading_bytes : int
        Memory that reading it takes.
    labels : tuple of int
        Values of a mask that are regions; none: all but 0.
    is_file : bool
        It is a mask that is not DICOM: its path is its name.
    """

    sop_instance_uid: str
    content: str
    path: str
    study_uid: str
    series: tuple[str, ...]
    frames: tuple[str, ...]
    reading_bytes: int = 0
    labels: tuple[int, ...] = ()
    is_file: bool = False

    @property
    def order(self) -> tuple[str, str, str]:
        """What objects are sorted by; of copies the first counts."""
        return ("", "", self.path) if self.is_file else (self.sop_instance_uid, self.content, self.path)


def companions_for(stacks: Sequence[Stack], headers: Sequence[Header]) -> dict[str, tuple[str, ...]]:
    """Return which segmentations and structure sets go with which stack.

    An object goes with the stacks of the series it references; if it references none that is
    there, with the stacks of its study that share its frame of reference.

    Parameters
    ----------
    stacks : sequence of Stack
        All of the studies in question.
    headers : sequence of Header
        Of the same studies; copies may be among them.

    Returns
    -------
    dict
        ``Stack.identity`` to paths, masks by name, then objects by SOPInstanceUID; only stacks that have any.
    """
    present = {stack.series_uid for stack in stacks if is_host(stack)} - {""}
    objects = [(one, tuple(uid for uid in one.series if uid in present)) for one in references_of(stacks, headers)]
    return {identity: tuple(one.path for one in found) for identity, found in matched(stacks, objects).items()}


def is_host(stack: Stack) -> bool:
    """Tell whether regions can be drawn on a stack."""
    return stack.affine_lps is not None and not stack.refused


def references_of(stacks: Sequence[Stack], headers: Sequence[Header]) -> list[Reference]:
    """Return the segmentations and structure sets among headers, in order and each once."""
    # of a segmentation's copies only the one in a stack counts; of a structure set's, the first
    read = {path for stack in stacks if stack.kind == "segmentation" and not stack.refused for path in stack.paths}
    return each_once(
        Reference(
            sop_instance_uid=header.sop_instance_uid,
            content=header.content,
            path=header.path,
            study_uid=header.study_uid,
            series=header.referenced_series,
            frames=header.referenced_frames_of_reference,
            reading_bytes=header.size * (_SET_BYTES if header.is_structure_set else _SEG_BYTES),
            labels=header.labels,
            is_file=bool(header.format),
        )
        for header in headers
        if not header.code and (header.path in read or header.is_structure_set)
    )


def each_once(references: Iterable[Reference]) -> list[Reference]:
    """Return objects in order, without those that hold what one before holds."""
    objects: dict[tuple[str, str], Reference] = {}
    for one in sorted(references, key=lambda one: one.order):
        # masks of two images may hold the same bytes
        objects.setdefault((one.sop_instance_uid, one.content), one)
    return list(objects.values())


def matched(
    stacks: Sequence[Stack], objects: Iterable[tuple[Reference, Sequence[str]]]
) -> dict[str, tuple[Reference, ...]]:
    """Return which objects go with which stack.

    Parameters
    ----------
    stacks : sequence of Stack
    objects : iterable of (Reference, sequence of str)
        In order; each with those of its series that have a stack to draw on, anywhere.

    Returns
    -------
    dict
        ``Stack.identity`` to objects; only stacks that have any.
    """
    of_series: defaultdict[str, list[Stack]] = defaultdict(list)
    of_frame: defaultdict[tuple[str, str], list[Stack]] = defaultdict(list)
    for stack in filter(is_host, stacks):
        of_series[stack.series_uid].append(stack)
        of_frame[stack.study_uid, stack.frame_of_reference_uid].append(stack)
    found: defaultdict[str, list[Reference]] = defaultdict(list)
    for one, named in objects:
        if named:
            hosts = [stack for uid in named for stack in of_series.get(uid, ())]
        else:
            hosts = [stack for frame in one.frames for stack in of_frame.get((one.study_uid, frame), ())]
        for stack in hosts:
            found[stack.identity].append(one)
    return {identity: tuple(one) for identity, one in found.items()}


def load_companions(
    objects: Iterable[tuple[Header, bytes]], geometry: Geometry, *, frame_of_reference_uid: str = ""
) -> Companions:
    """Read segmentations, structure sets and masks onto a volume's grid.

    Parameters
    ----------
    objects : iterable of (Header, bytes)
        Taken one by one, in the order of :func:`companions_for`; regions are numbered through:
        first what has segments or closed contours, then what is named only.
    geometry : Geometry
        The volume's; masks are of its last three axes.
    frame_of_reference_uid : str
        The volume's, where it is known: what is drawn in another one is not used.

    Returns
    -------
    Companions
        Regions ``roi_1``, ``roi_2``, ... with the objects' own names beside them, each with a
        code if nothing of it could be drawn; and a code (``E_GRID``, ``E_CONTOUR``,
        ``E_FRAME``, ``E_LABELS`` or ``E_COMPANION``) for each object that cannot be used: a bad one
        does not cost the others.

    Raises
    ------
    Rejected
        If the volume itself has no grid to draw on.
    """
    grid = grid_of(geometry)
    found: list[_Found] = []
    problems: list[str] = []
    for header, data in objects:
        try:
            source, drawn = _read(header, data, geometry, grid, frame_of_reference_uid)
        except Rejected as reason:
            problems.append(reason.code if reason.code in _TOLD else "E_COMPANION")
            continue
        if _all_outside(drawn):
            problems.append("E_CONTOUR")
        found += [_Found(source, (header.made_at, header.sop_instance_uid), one) for one in drawn]
    newest = {
        source: max(one.made for one in found if one.source == source) for source in {one.source for one in found}
    }
    found.sort(key=lambda one: one.drawn.code in _NAMED_ONLY)
    # numbered through all objects, so that two of one source never bear the same label
    regions = tuple(_region(one, number) for number, one in enumerate(found, start=1))
    by_name = {region.name: one for region, one in zip(regions, found, strict=True)}
    return Companions(
        regions=regions,
        original_names={name: one.drawn.name for name, one in by_name.items()},
        problems=tuple(problems),
        structures={name: _structure(one, newest[one.source]) for name, one in by_name.items()},
    )


class _Found(NamedTuple):
    """What was drawn, of which kind of object, and when that was made."""

    source: str
    made: tuple[str, str]
    drawn: Drawn


def _read(header: Header, data: bytes, geometry: Geometry, grid: Grid, frame_uid: str) -> tuple[str, Sequence[Drawn]]:
    if header.format:
        return "mask", read_masks(header, data, geometry)
    if header.is_structure_set:
        return "rtstruct", read_structures(data, grid, frame_uid=frame_uid)
    own = header.frame_of_reference_uid
    if frame_uid and own and own != frame_uid:
        raise Rejected("E_FRAME")
    return "seg", read_segments(header, data, grid)


def _all_outside(drawn: Sequence[Drawn]) -> bool:
    codes = {one.code for one in drawn} - _NAMED_ONLY
    return codes == {"W_OUTSIDE"}


def _region(one: _Found, number: int) -> Region:
    return Region(
        bits=one.drawn.bits,
        name=f"roi_{number}",
        label=number,
        source=one.source,
        code=one.drawn.code,
        threshold=HALF if one.drawn.shares is not None else None,
    )


def _structure(one: _Found, newest: tuple[str, str]) -> Structure:
    drawn = one.drawn
    return Structure(
        codes=drawn.codes,
        number=drawn.number,
        resampled=drawn.resampled,
        is_newest=one.made == newest,
        shares=drawn.shares,
    )
