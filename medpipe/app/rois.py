"""``medpipe rois``: the structures of a lake under the names they were given, for who has the key.

Names are read out of what the scan sealed and go to the caller only; nothing is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.app.content import Content
from medpipe.app.index import LakeIndex
from medpipe.app.lakes import open_with_key
from medpipe.app.scan_state import SourceState, known_sources
from medpipe.app.scanning import source_id
from medpipe.app.site import Site
from medpipe.app.source_index import SourceIndex
from medpipe.archive.drawn import Named
from medpipe.archive.header import Header
from medpipe.errors import ConfigError, Rejected
from medpipe.lake.lake import Lake
from medpipe.ops.objects import SegmentationObjects
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.ranges import Range, all_ranges, bits_for
from medpipe.recipe.recipe import load_recipe
from medpipe.types import Structure

Row = dict[str, Any]

COLUMNS = ("name", "codes", "source", "objects", "volumes", "label")
_MARK = b'"structures":'


@dataclass(slots=True)
class _Seen:
    """Where a name was seen."""

    objects: set[str] = field(default_factory=set)
    volumes: set[str] = field(default_factory=set)


def list_rois(root: Path, site: Site, *, archive: str | None = None, recipe: str | None = None) -> list[Row]:
    """Return a row for each name of a structure or segment, as written, those on most volumes first.

    Parameters
    ----------
    root : Path
        Folder of the lake.
    site : Site
        Names the key.
    archive : str, optional
        Only objects of this archive: the real path of its folder, or its id.
    recipe : str, optional
        File or name of a recipe, whose rules tell the label.

    Returns
    -------
    list of dict
        ``name``, ``codes`` (coded concepts), ``source`` (seg or rtstruct), ``objects`` that hold it,
        ``volumes`` those objects go with (0: what they were made on is not in the lake), and
        ``label``: what the recipe calls it, None where no rule fits or no recipe is given; where
        routes differ, each with its label.

    Raises
    ------
    LakeError
        If the folder is no lake, or its key is not at hand.
    ConfigError
        If the index has no such archive, or the recipe cannot be used.
    """
    lake, secret = open_with_key(root, site)
    pseudonyms = Pseudonyms(secret)
    rules = _rules(recipe)
    sources = _sources(lake, pseudonyms, archive)
    hosts = _hosts(lake, pseudonyms)
    found: defaultdict[tuple[str, tuple[str, ...], str, str | None], _Seen] = defaultdict(_Seen)
    for source in sources:
        for header in _objects(lake, source):
            kind = "rtstruct" if header.is_structure_set else "seg"
            for one in header.structures:
                seen = found[one.name, one.codes, kind, _label(rules, one)]
                seen.objects.add(header.sop_instance_uid or f"{source}/{header.path}")
                seen.volumes |= hosts.get((source, header.path), set())
    rows = [
        dict(zip(COLUMNS, (name, list(codes), kind, len(seen.objects), len(seen.volumes), label), strict=True))
        for (name, codes, kind, label), seen in found.items()
    ]
    return sorted(rows, key=lambda row: (-row["volumes"], row["name"], row["codes"], row["source"]))


def _rules(recipe: str | None) -> list[tuple[str, SegmentationObjects]]:
    routes = () if recipe is None else load_recipe(recipe).routes
    sources = [(route.name, getattr(op, "source", op)) for route in routes for op in route.regions]
    return [(name, op) for name, op in sources if isinstance(op, SegmentationObjects)]


def _label(rules: Sequence[tuple[str, SegmentationObjects]], one: Named) -> str | None:
    structure = Structure(codes=one.codes, number=one.number)
    labels = [(route, _label_of(op, one.name, structure)) for route, op in rules]
    if len({label for _, label in labels}) < 2:
        return labels[0][1] if labels else None
    return ", ".join(f"{route}: {label or '-'}" for route, label in labels)


def _label_of(op: SegmentationObjects, name: str, structure: Structure) -> str | None:
    try:
        return op.label_of(name, structure)
    except Rejected as rejected:
        return rejected.code


def _sources(lake: Lake, pseudonyms: Pseudonyms, archive: str | None) -> list[str]:
    known = known_sources(lake)
    if archive is None:
        return list(known)
    found = [one for one in known if one in {archive, source_id(pseudonyms, Path(archive).resolve())}]
    if not found:
        raise ConfigError(f"{lake.root}: no archive {archive} was scanned into it: give its folder, or its id")
    return found


def _objects(lake: Lake, source: str) -> Iterator[Header]:
    """Yield the headers of a source that name structures."""
    opened = SourceIndex.open(lake, source)
    for _, kept in [] if opened is None else opened.ranges(Range(0, 0)):
        if kept.headers is None:
            continue
        content = Content.from_bytes(lake.private.need(kept.headers))
        for path in sorted(path for path, line in content.lines.items() if _MARK in line):
            header = content.header(path)
            if not header.code:
                yield header


def _hosts(lake: Lake, pseudonyms: Pseudonyms) -> dict[tuple[str, str], set[str]]:
    """Return the volumes that objects go with, by source and path of the object."""
    index = LakeIndex.open(lake, pseudonyms)
    states = filter(None, (SourceState.load(lake, source) for source in known_sources(lake)))
    named = {one.root: one.source for one in states}
    hosts: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for one in all_ranges(bits_for(index.n_volumes)):
        for key, locator in index.load(one).locators.items():
            for path in locator["companions"]:
                source, _, own = path.partition("/") if "roots" in locator else (named[locator["root"]], "", path)
                hosts[source, own].add(key)
    return hosts
