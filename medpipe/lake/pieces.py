"""Pieces of the index of results, and its generations: which segments it covers, where their lines are.

All of it is derived from the segments: what is missing or damaged is made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa

from medpipe.errors import SecurityError
from medpipe.keys import bytes_digest, canonical
from medpipe.lake.failpoints import hit
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.lines import Cut, Tally, unpacked
from medpipe.ranges import Range

_DIGEST_DIGITS = 32


class Layer(NamedTuple):
    """Results that were sorted together.

    Attributes
    ----------
    bits : int
        How finely they are cut.
    results : int
        Results in all pieces.
    pieces : mapping of int to str
        Digest of a piece by the number of its range.
    """

    bits: int
    results: int
    pieces: Mapping[int, str]

    def paths(self) -> Iterator[str]:
        """Yield the paths of its pieces."""
        for number, found in self.pieces.items():
            yield LAYOUT.results_piece(Range(self.bits, number).name, found)

    def cut(self, lake: Lake) -> Cut:
        """Return its lines, to be read by range."""
        return Cut(self.bits, self.pieces, partial(read_piece, lake, self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A state of the index of results.

    Attributes
    ----------
    segments : tuple of str
        Names of the segments covered, sorted.
    layers : tuple of Layer
        The largest first; each holds at least twice the results of the next.
    tally : Tally
        Of all lines covered.
    """

    segments: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    tally: Tally = field(default_factory=Tally)

    @property
    def results(self) -> int:
        """Results covered."""
        return sum(layer.results for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        """Return the generation as JSON values."""
        layers = [
            {"bits": one.bits, "results": one.results, "pieces": {str(at): one.pieces[at] for at in one.pieces}}
            for one in self.layers
        ]
        return {"segments": list(self.segments), "layers": layers, "tally": self.tally.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Generation:
        """Read what :meth:`to_json` wrote."""
        layers = tuple(
            Layer(one["bits"], one["results"], {int(at): found for at, found in one["pieces"].items()})
            for one in value["layers"]
        )
        return cls(segments=tuple(value["segments"]), layers=layers, tally=Tally.from_json(value["tally"]))


def read_generation(lake: Lake) -> Generation | None:
    """Return the current generation, or None where there is none that can be read."""
    path = _current(lake)
    if path is None:
        return None
    try:
        data = lake.store.get(path)
        if path != LAYOUT.results_generation(_short_digest(data)):
            return None
        return Generation.from_json(json.loads(unpacked(data)))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_generation(lake: Lake, generation: Generation) -> None:
    """Make a generation the current one; a kill leaves the old one or the new one.

    Raises
    ------
    StoppedError
        If the disk is full; the old one stays.
    """
    data = pa.compress(canonical(generation.to_json()).encode("ascii"), codec="zstd", asbytes=True)
    found = _short_digest(data)
    _keep(lake, LAYOUT.results_generation(found), data)
    hit("results.before_pointer")
    lake.refuse_if_superseded()
    lake.store.swap_pointer(LAYOUT.results_pointer(), found.encode("ascii"))
    hit("results.after_pointer")


def put_piece(lake: Lake, keys: Range, lines: list[bytes]) -> str:
    """Write a piece under its content; return its digest.

    Raises
    ------
    StoppedError
        If the disk is full.
    """
    data = pa.compress(b"".join(lines), codec="zstd", asbytes=True)
    found = _short_digest(data)
    hit("results.before_piece")
    _keep(lake, LAYOUT.results_piece(keys.name, found), data)
    return found


def read_piece(lake: Lake, layer: Layer, number: int) -> list[bytes] | None:
    """Return the lines of a piece, or None where it is missing or damaged."""
    found = layer.pieces[number]
    try:
        data = lake.store.get(LAYOUT.results_piece(Range(layer.bits, number).name, found))
        return unpacked(data).splitlines(keepends=True) if _short_digest(data) == found else None
    except OSError:
        return None


def live_pieces(lake: Lake) -> set[str]:
    """Return the paths of all that the current index of results consists of; the rest of it is garbage."""
    generation, path = read_generation(lake), _current(lake)
    if generation is None or path is None:
        return set()
    return {LAYOUT.results_pointer(), path, *(piece for layer in generation.layers for piece in layer.paths())}


def _current(lake: Lake) -> str | None:
    try:
        return LAYOUT.results_generation(lake.store.get(LAYOUT.results_pointer()).decode("ascii"))
    except (OSError, ValueError, SecurityError):
        return None


def _keep(lake: Lake, path: str, data: bytes) -> None:
    # What lies under the name may be damaged, which is why it is being made again.
    if not lake.store.put_if_absent(path, data) and lake.store.get(path) != data:
        lake.store.swap_pointer(path, data)


def _short_digest(data: bytes) -> str:
    return bytes_digest(data)[:_DIGEST_DIGITS]
