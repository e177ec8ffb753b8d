"""Companions: segmentations and structure sets made on a stack's series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from medpipe.archive.grid import Grid, grid_of
from medpipe.archive.header import Header
from medpipe.archive.other.masks import read_masks
from medpipe.archive.rtstruct import Drawn, read_structures
from medpipe.archive.seg import read_segments
from medpipe.archive.stacks import Stack
from medpipe.errors import Rejected
from medpipe.types import Companions, Geometry, Region

_OWN_CODES: Final = frozenset({"E_GRID", "E_CONTOUR", "E_LABELS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A segmentation or structure set, and what it was made on.

    Attributes
    ----------
    sop_instance_uid, bytes_digest, path : str
        In the order objects are sorted by.
    study_uid : str
    series, frames : tuple of str
        UIDs of the series and frames of reference it names.
    labels : tuple of int
        Values of a mask that are regions; none: all but 0.
    is_file : bool
        It is a mask that is not DICOM: its path is its name.
    """

    sop_instance_uid: str
    bytes_digest: str
    path: str
    study_uid: str
    series: tuple[str, ...]
    frames: tuple[str, ...]
    labels: tuple[int, ...] = ()
    is_file: bool = False

    @property
    def order(self) -> tuple[str, str, str]:
        """What objects are sorted by; of copies the first counts."""
        return ("", "", self.path) if self.is_file else (self.sop_instance_uid, self.bytes_digest, self.path)


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
            bytes_digest=header.bytes_digest,
            path=header.path,
            study_uid=header.study_uid,
            series=header.referenced_series,
            frames=header.referenced_frames_of_reference,
            labels=header.labels,
            is_file=bool(header.format),
        )
        for header in headers
        if not header.code and (header.path in read or header.is_structure_set)
    )


def each_once(references: Iterable[Reference]) -> list[Reference]:
    """Return objects in order, without those that hold the bytes of one before."""
    objects: dict[tuple[str, str], Reference] = {}
    for one in sorted(references, key=lambda one: one.order):
        # masks of two images may hold the same bytes
        objects.setdefault((one.sop_instance_uid, one.bytes_digest), one)
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


def load_companions(objects: Iterable[tuple[Header, bytes]], geometry: Geometry) -> Companions:
    """Read segmentations, structure sets and masks onto a volume's grid.

    Parameters
    ----------
    objects : iterable of (Header, bytes)
        Taken one by one, in the order of :func:`companions_for`; regions are numbered through.
    geometry : Geometry
        The volume's; masks are of its last three axes.

    Returns
    -------
    Companions
        Regions ``roi_1``, ``roi_2``, ... with the objects' own names beside them, and a code
        (``E_GRID``, ``E_CONTOUR``, ``E_LABELS`` or ``E_COMPANION``) for each object that cannot be used: a bad
        one does not cost the others.

    Raises
    ------
    Rejected
        If the volume itself has no grid to draw on.
    """
    grid = grid_of(geometry)
    regions: list[Region] = []
    names: dict[str, str] = {}
    problems: list[str] = []
    for header, data in objects:
        try:
            source, drawn = _drawn(header, data, grid, geometry)
        except Rejected as reason:
            problems.append(reason.code if reason.code in _OWN_CODES else "E_COMPANION")
            continue
        for region in drawn:
            regions.append(_region(region, len(regions) + 1, source))
            names[regions[-1].name] = region.name
    return Companions(regions=tuple(regions), original_names=names, problems=tuple(problems))


def _drawn(header: Header, data: bytes, grid: Grid, geometry: Geometry) -> tuple[str, list[Drawn]]:
    if header.format:
        return "mask", read_masks(header, data, geometry)
    if header.is_structure_set:
        return "rtstruct", read_structures(data, grid)
    return "seg", read_segments(header, data, grid)


def _region(drawn: Drawn, number: int, source: str) -> Region:
    # numbered through all objects, so that two of one source never bear the same label
    return Region(mask=drawn.mask, name=f"roi_{number}", label=number, source=source)
