"""What a scan keeps of a source between scans, sealed: one small blob that names all others.

Replacing that blob is what makes a scan valid: before it, everything of the scan before is in
place; after it, everything of the new one. Other blobs are named by their content and removed
once none of them is named any more.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple, Self

from medpipe.errors import IntegrityError
from medpipe.lake.index import Generation, index_sources, read_generation
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.private import SOURCES, lacking
from medpipe.ranges import Range

_STATE = "state"


class Chunk(NamedTuple):
    """A piece of the list of files: its blob, and its first path."""

    blob: str
    first: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeState:
    """What is kept of a range.

    Attributes
    ----------
    headers, locators : str or None
        Blobs; None for a range without files, or without volumes.
    companions : str or None
        Blob of what companions change in its locators.
    objects : str or None
        Blob of the companion objects that lie in the range.
    incoming : str
        Digest of the objects that look for volumes in the range.
    rows, outcomes, kinds : mapping of str to int
        Index rows by table, files by outcome, stacks by kind.
    refused : int
        Stacks no volume can be made of.
    must_repeat : bool
        Pixels could not be read for a passing reason: the range is made again by the next scan.
    refused_pixels : mapping of str to str
        Codes with which pixels were refused, and under which conditions.
    contents : str
        Changes with the names and the bytes of all files, those that no row depends on among them.
    """

    headers: str | None = None
    locators: str | None = None
    companions: str | None = None
    objects: str | None = None
    incoming: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    outcomes: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, int] = field(default_factory=dict)
    refused: int = 0
    must_repeat: bool = False
    refused_pixels: Mapping[str, str] = field(default_factory=dict)
    contents: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """What is kept of a source.

    Attributes
    ----------
    source, root : str
        Id of the source; its folder, private.
    order : int
        Number of the source among those of the lake, by their first scans; 0: not known.
    scan : int
        Number of the last scan that changed anything.
    rules : str
        Digest of what made the rows; other rules make them anew.
    reader : int
        Version of what read the headers; another one reads them anew.
    layout : str
        Digest of the rules by which masks and modalities are told by name; others read the headers anew.
    bits : int
        How finely keys are cut.
    generation : str
        Id of the index generation.
    files : int
        Files that are not gone.
    asked_of : int
        Files there were when a deletion was proposed that nobody has accepted; 0 where none is.
    chunks : tuple of Chunk
        The list of files.
    ranges : mapping of int to RangeState
        Only ranges that hold anything.
    objects, hosts, dates : str or None
        Blobs over all ranges: what companion objects look for, which series are where, patients'
        first days.
    """

    source: str
    root: str
    order: int = 0
    scan: int = 0
    rules: str = ""
    reader: int = 0
    layout: str = ""
    bits: int = 0
    generation: str = ""
    files: int = 0
    asked_of: int = 0
    chunks: tuple[Chunk, ...] = ()
    ranges: Mapping[int, RangeState] = field(default_factory=dict)
    objects: str | None = None
    hosts: str | None = None
    dates: str | None = None

    @property
    def known(self) -> int:
        """Files of which those that are gone are a share: new ones do not make a proposed deletion small."""
        return min(self.files, self.asked_of) if self.asked_of else self.files

    @classmethod
    def load(cls, lake: Lake, source: str) -> Self | None:
        """Return the state of a source, or None where no scan of it has ended."""
        try:
            found = json.loads(lake.private.get(state_name(source)))
        except FileNotFoundError:
            return None
        found["chunks"] = tuple(Chunk(*one) for one in found["chunks"])
        found["ranges"] = {int(number): RangeState(**one) for number, one in found["ranges"].items()}
        return cls(**found)

    def save(self, lake: Lake) -> None:
        """Make this the state of the source, at one stroke."""
        plain = asdict(replace(self, chunks=(), ranges={}))
        plain["chunks"] = [list(one) for one in self.chunks]
        plain["ranges"] = {number: asdict(one) for number, one in self.ranges.items()}
        lake.private.put(state_name(self.source), json.dumps(plain).encode())

    def blobs(self) -> set[str]:
        """Return the names of all blobs of the source."""
        named = {state_name(self.source), self.objects, self.hosts, self.dates}
        named |= {chunk.blob for chunk in self.chunks}
        for one in self.ranges.values():
            named |= {one.headers, one.locators, one.companions, one.objects}
        return {name for name in named if name is not None}

    def generation_of(self, shards: Mapping[str, Mapping[int, str]]) -> Generation:
        """Return the generation that these shards and the blobs of this state are."""
        sealed = [self.dates, *(blob for one in self.ranges.values() for blob in (one.locators, one.companions))]
        named = (blob.rpartition(".") for blob in sealed if blob is not None)
        rows: Counter[str] = Counter()
        for one in self.ranges.values():
            rows.update(one.rows)
        private = {name.removeprefix(f"{SOURCES}/{self.source}/"): token for name, _, token in named}
        return Generation(bits=self.bits, shards=shards, rows=rows, private=private)

    def counts(self) -> tuple[Counter[str], Counter[str], int]:
        """Return files by outcome, stacks by kind, and refused stacks, over all ranges."""
        outcomes: Counter[str] = Counter()
        kinds: Counter[str] = Counter()
        for one in self.ranges.values():
            outcomes.update(one.outcomes)
            kinds.update(one.kinds)
        return outcomes, kinds, sum(one.refused for one in self.ranges.values())


def state_name(source: str) -> str:
    """Return the name of a source's state."""
    return f"{SOURCES}/{source}/{_STATE}"


def source_folder(source: str) -> str:
    """Return the folder, as a path of the lake, of all that is kept of a source."""
    return f"{LAYOUT.private_folder()}/{SOURCES}/{source}"


def blob_prefix(source: str, kind: str, within: Range | None = None) -> str:
    """Return the first part of a blob's name, to which a digest of its content is added."""
    return f"{SOURCES}/{source}/{kind}" + ("" if within is None else f"/{within.name}")


def known_sources(lake: Lake) -> list[str]:
    """Return the ids of all sources a scan of which has ended, sorted."""
    folder = lake.store.absolute(f"{LAYOUT.private_folder()}/{SOURCES}")
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return sorted(name for name in names if lake.private.exists(state_name(name)))


def live_private(lake: Lake) -> set[str]:
    """Return the names of the sealed blobs that scans keep; others below ``sources/`` are garbage."""
    return set().union(*(state.blobs() for state in known_states(lake)))


def refuse_lacking(lake: Lake, state: SourceState) -> None:
    """Refuse a state that names a blob which is not there.

    Raises
    ------
    IntegrityError
    """
    missing = sorted(state.blobs().difference(lake.private.names(f"{SOURCES}/{state.source}/")))
    if missing:
        raise IntegrityError(lacking(missing))


def live_index(lake: Lake) -> set[str]:
    """Return the paths below ``index/sources`` that are in use; others there are garbage."""
    live: set[str] = set()
    wanted = {(state.source, state.generation) for state in known_states(lake)}
    wanted |= {(source, "") for source in index_sources(lake)}
    for source, generation in wanted:
        try:
            found = read_generation(lake, source, generation or None)
        except FileNotFoundError:
            continue
        live |= {LAYOUT.index_pointer(source), *found.paths(source)}
    return live


def remove_garbage(lake: Lake, state: SourceState) -> None:
    """Remove the blobs of a source that its state does not name."""
    live = state.blobs()
    for name in [*lake.private.names(f"{SOURCES}/{state.source}/")]:
        if name not in live:
            lake.private.remove(name)


def whole_generation(lake: Lake, state: SourceState) -> Generation | None:
    """Return the generation of a state, or None where a file of it is gone."""
    try:
        found = read_generation(lake, state.source, state.generation)
    except FileNotFoundError:
        return None
    return found if all(lake.store.exists(path) for path in found.paths(state.source)) else None


def known_states(lake: Lake) -> Iterator[SourceState]:
    """Yield the states of all sources a scan of which has ended, by their ids."""
    for source in known_sources(lake):
        state = SourceState.load(lake, source)
        if state is not None:
            yield state
