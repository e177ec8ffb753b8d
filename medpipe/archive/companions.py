"""Companions: segmentations and structure sets made on a stack's series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from medpipe.archive.grid import grid_of
from medpipe.archive.header import Header
from medpipe.archive.rtstruct import Drawn, read_structures
from medpipe.archive.seg import read_segments
from medpipe.archive.stacks import Stack
from medpipe.errors import Rejected
from medpipe.types import Companions, Geometry, Region


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
        ``Stack.identity`` to paths, ordered by SOPInstanceUID; only stacks that have any.
    """
    hosts = [stack for stack in stacks if stack.affine_lps is not None and not stack.refused]
    present = {stack.series_uid for stack in hosts} - {""}
    found: dict[str, list[str]] = {}
    for header in _objects(stacks, headers):
        named = present & set(header.referenced_series)
        for stack in hosts:
            same_frame = (
                stack.study_uid == header.study_uid
                and stack.frame_of_reference_uid in header.referenced_frames_of_reference
            )
            if stack.series_uid in named or (not named and same_frame):
                found.setdefault(stack.identity, []).append(header.path)
    return {identity: tuple(paths) for identity, paths in found.items()}


def _objects(stacks: Sequence[Stack], headers: Sequence[Header]) -> list[Header]:
    # of a segmentation's copies only the one in a stack counts; of a structure set's, the first
    read = {path for stack in stacks if stack.kind == "segmentation" and not stack.refused for path in stack.paths}
    objects: dict[str, Header] = {}
    for header in sorted(headers, key=lambda one: (one.sop_instance_uid, one.bytes_digest, one.path)):
        if header.code:
            continue
        if header.path in read or header.is_structure_set:
            objects.setdefault(header.bytes_digest, header)
    return list(objects.values())


def load_companions(objects: Iterable[tuple[Header, bytes]], geometry: Geometry) -> Companions:
    """Read segmentations and structure sets onto a volume's grid.

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
        (``E_GRID``, ``E_CONTOUR`` or ``E_COMPANION``) for each object that cannot be used: a bad
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
            drawn = read_structures(data, grid) if header.is_structure_set else read_segments(header, data, grid)
        except Rejected as reason:
            problems.append(reason.code if reason.code in {"E_GRID", "E_CONTOUR"} else "E_COMPANION")
            continue
        source = "rtstruct" if header.is_structure_set else "seg"
        for region in drawn:
            regions.append(_region(region, len(regions) + 1, source))
            names[regions[-1].name] = region.name
    return Companions(regions=tuple(regions), original_names=names, problems=tuple(problems))


def _region(drawn: Drawn, number: int, source: str) -> Region:
    # numbered through all objects, so that two of one source never bear the same label
    return Region(mask=drawn.mask, name=f"roi_{number}", label=number, source=source)
