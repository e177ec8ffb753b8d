"""A run of the fuzz bench: mutants by number, through sandboxes, judged one by one."""

from __future__ import annotations

import os
import random
import shlex
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

from medpipe.app.reading import ADDRESS_BYTES, BATCH, HEADER_S
from medpipe.engine.pool import SandboxPool
from medpipe.engine.replies import Death
from medpipe.engine.sandbox import SandboxSpec
from medpipe.reasons import REASONS
from tests.fuzz.anatomy import Anatomy, take_apart
from tests.fuzz.bombs import BOMBS
from tests.fuzz.mutators import MUTATORS, truncated
from tests.fuzz.other_bombs import OTHER_BOMBS
from tests.fuzz.other_mutators import OTHER_MUTATORS, cut
from tests.fuzz.other_seeds import MASK, other_seeds
from tests.fuzz.seeds import Seed, own_seeds, real_seeds

OUTCOMES = frozenset({"used", "catalogued", "skipped", "quarantined"})
REFUSED = frozenset({"skipped", "quarantined"})
MOST_BYTES = 256 << 20
MOST_S = 1.0
SMALL_BYTES = 1_100_000
"""Files up to this size must not cost more than the two before, if they are refused."""

_BOMBS_IN = 200
_OTHER_SHARE = 0.4
_CUTS = frozenset({truncated.__name__, cut.__name__})
BESIDE = "ANY"
"""A file that lies beside the mutants, for directories that name one."""

_FILE_BYTES = 1 << 30


class Mutant(NamedTuple):
    """A damaged file: its number, how it was made of which seed, and its bytes."""

    number: int
    made_by: tuple[str, ...]
    seed: int
    data: bytes


class Finding(NamedTuple):
    """What must not be: of which mutant, and what."""

    number: int
    made_by: tuple[str, ...]
    of: str
    what: str


@dataclass(slots=True)
class Counts:
    """What was counted of a run."""

    mutants: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    made_by: Counter[str] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)
    companions: Counter[str] = field(default_factory=Counter)
    members: Counter[str] = field(default_factory=Counter)
    truncations: Counter[str] = field(default_factory=Counter)
    most_bytes: tuple[int, int] = (0, -1)
    most_s: tuple[float, int] = (0.0, -1)
    cpu_s: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return {
            "mutants": self.mutants,
            "outcomes": dict(self.outcomes.most_common()),
            "codes": dict(self.codes.most_common()),
            "companions": dict(self.companions.most_common()),
            "members": dict(self.members.most_common()),
            "truncations": dict(self.truncations.most_common()),
            "made by": dict(self.made_by.most_common()),
            "sandboxes lost": dict(self.deaths),
            "most memory of a refused small file": {"mib": self.most_bytes[0] >> 20, "mutant": self.most_bytes[1]},
            "most processor time of a refused small file": {"s": round(self.most_s[0], 3), "mutant": self.most_s[1]},
            "processor seconds in all": round(self.cpu_s, 1),
            "findings": [finding._asdict() for finding in self.findings],
        }


class Fuzz:
    """Mutants of sound files, and the sandboxes they are read in.

    Parameters
    ----------
    seed : int
        A mutant is what this, its number and the seeds make it.
    data_root : Path or None
        Folder of the reference data, for seeds that others wrote.
    workers : int, optional
    """

    def __init__(self, *, seed: int, data_root: Path | None, workers: int | None = None) -> None:
        self.seed = seed
        self._data_root = data_root
        self.workers = workers or os.cpu_count() or 1
        self._open = ExitStack()
        self.seeds: list[Seed] = []
        self._anatomies: dict[int, Anatomy] = {}
        self._wanted: dict[int, list[Any]] = {}

    def __enter__(self) -> Self:
        memory = Path("/dev/shm")
        place = memory if memory.is_dir() else None
        folder = self._open.enter_context(tempfile.TemporaryDirectory(prefix="medpipe-fuzz-", dir=place))
        self._folder = Path(folder) / "archive"
        self._folder.mkdir()
        (self._folder / BESIDE).write_bytes(b"")
        own = own_seeds(Path(folder))
        real = real_seeds(self._data_root) if self._data_root is not None else []
        others = other_seeds()
        self.seeds = own + real + others
        self._n_dicom = len(own) + len(real)
        spec = SandboxSpec(
            session="tests.fuzz.session:open_fuzz",
            init={"root": os.fspath(self._folder), "file_bytes": _FILE_BYTES},
            address_space_bytes=ADDRESS_BYTES,
        )
        self._pool = self._open.enter_context(SandboxPool(spec, size=self.workers))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    # mutants ------------------------------------------------------------------------------------

    def mutant(self, number: int) -> Mutant:
        """Return a mutant by its number."""
        rng = random.Random(f"{self.seed} {number}")
        is_other = rng.random() < _OTHER_SHARE
        if rng.randrange(_BOMBS_IN) == 0:
            bomb = rng.choice(OTHER_BOMBS if is_other else BOMBS)
            return Mutant(number, (bomb.__name__,), -1, bomb(rng))
        return self._other(rng, number) if is_other else self._dicom(rng, number)

    def _dicom(self, rng: random.Random, number: int) -> Mutant:
        place = rng.randrange(self._n_dicom)
        names: list[str] = []
        file = self._anatomy(place)
        for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
            mutator = rng.choice(MUTATORS)
            data = mutator(rng, file, self._anatomy(rng.randrange(self._n_dicom)))
            names.append(mutator.__name__)
            if len(data) < 200:
                break
            file = take_apart(data)
        return Mutant(number, tuple(names), place, data)

    def _other(self, rng: random.Random, number: int) -> Mutant:
        place = rng.randrange(self._n_dicom, len(self.seeds))
        names: list[str] = []
        data = self.seeds[place].data
        for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
            mutator = rng.choice(OTHER_MUTATORS)
            data = mutator(rng, data, self.seeds[rng.randrange(len(self.seeds))].data)
            names.append(mutator.__name__)
            if len(data) < 16:
                break
        return Mutant(number, tuple(names), place, data)

    def _anatomy(self, place: int) -> Anatomy:
        if place not in self._anatomies:
            self._anatomies[place] = take_apart(self.seeds[place].data)
        return self._anatomies[place]

    # the run ------------------------------------------------------------------------------------

    def run(self, numbers: Iterable[int], *, tell: Callable[[Counts], None] | None = None) -> Counts:
        """Send mutants through the sandboxes and judge what becomes of them."""
        counts = Counts()
        for mutant, result in self._results(map(self.mutant, numbers)):
            self._count(counts, mutant, result)
            if tell is not None:
                tell(counts)
        return counts

    def untouched(self) -> dict[str, Any]:
        """Return what becomes of the seeds themselves, by name."""
        whole = (Mutant(place, (), place, seed.data) for place, seed in enumerate(self.seeds))
        found = {}
        for mutant, result in self._results(whole):
            found[self.seeds[mutant.seed].name] = result
            self._wanted[mutant.seed] = [] if isinstance(result, Death) else result["digests"]
        return found

    def _results(self, mutants: Iterable[Mutant]) -> Iterator[tuple[Mutant, Any]]:
        under_way: list[list[Mutant]] = []
        results = self._pool.map_batches(
            "mutants", self._written(mutants, under_way), item_s=HEADER_S, subject=lambda item: str(item["token"])
        )
        for found in results:
            batch = under_way.pop(0)
            for mutant, result in zip(batch, found, strict=True):
                (self._folder / self.name(mutant)).unlink()
                yield mutant, result

    def named(self, numbers: Iterable[int]) -> Iterator[tuple[str, Mutant]]:
        """Yield mutants with the names of their files."""
        for mutant in map(self.mutant, numbers):
            yield self.name(mutant), mutant

    def name(self, mutant: Mutant) -> str:
        """Return the name of a mutant's file; that of a mask says that it is one."""
        is_mask = mutant.seed >= 0 and self.seeds[mutant.seed].name.endswith(MASK)
        return f"{mutant.number}_mask" if is_mask else f"{mutant.number}.dcm"

    def _written(self, mutants: Iterable[Mutant], under_way: list[list[Mutant]]) -> Iterator[list[dict[str, Any]]]:
        coming = iter(mutants)
        while batch := list(islice(coming, BATCH)):
            for mutant in batch:
                (self._folder / self.name(mutant)).write_bytes(mutant.data)
            under_way.append(batch)
            yield [
                {"token": str(mutant.number), "path": self.name(mutant), "size": len(mutant.data), "version": ""}
                for mutant in batch
            ]

    # the oracle ---------------------------------------------------------------------------------

    def _count(self, counts: Counts, mutant: Mutant, result: Any) -> None:
        counts.mutants += 1
        counts.made_by.update(mutant.made_by)
        of = self.seeds[mutant.seed].name if mutant.seed >= 0 else ""
        faults = list(self._faults(counts, mutant, result))
        counts.findings.extend(Finding(mutant.number, mutant.made_by, of, what) for what in faults)

    def _faults(self, counts: Counts, mutant: Mutant, result: Any) -> Iterator[str]:
        if isinstance(result, Death):
            counts.deaths[result.code] += 1
            yield f"{result.code} in {result.stage or 'the session'}, signal {result.signal}"
            return
        counts.outcomes[result["outcome"]] += 1
        counts.codes[result["code"] or "-"] += 1
        counts.companions.update(result.get("problems", ()))
        counts.cpu_s += result["cpu_s"]
        if result["outcome"] not in OUTCOMES:
            yield f"outcome {result['outcome']}"
        if result["code"] == "E_INTERNAL" or (result["code"] and result["code"] not in REASONS):
            yield f"code {result['code']}"
        for outcome, code in result.get("members", ()):
            counts.members[outcome] += 1
            if outcome not in OUTCOMES or code == "E_INTERNAL" or (code and code not in REASONS):
                yield f"a member that ended as {outcome}, code {code}"
        if len(mutant.made_by) == 1 and mutant.made_by[0] in _CUTS:
            yield from self._other_pixels(counts, mutant, result)
        if (result["outcome"] in REFUSED or "members" in result) and len(mutant.data) <= SMALL_BYTES:
            yield from _cost(counts, mutant, result)

    def _other_pixels(self, counts: Counts, mutant: Mutant, result: dict[str, Any]) -> Iterator[str]:
        kind, wanted = result["outcome"], self._wanted[mutant.seed]
        if result["outcome"] == "used":
            kind = "the same pixels" if result["digests"] == wanted else "other pixels"
        elif "members" in result:
            lacks = len(result["digests"]) < len(wanted)
            is_true = all(one in wanted for one in result["digests"]) and (
                result["outcome"] == "quarantined" or not lacks
            )
            kind = "some of the same pixels" if is_true else "other pixels"
        counts.truncations[kind] += 1
        if kind == "other pixels":
            yield f"cut to {len(mutant.data)} bytes it gives other pixels, or does not say that some are gone"


def _cost(counts: Counts, mutant: Mutant, result: dict[str, Any]) -> Iterator[str]:
    counts.most_bytes = max(counts.most_bytes, (result["above_bytes"], mutant.number))
    counts.most_s = max(counts.most_s, (result["cpu_s"], mutant.number))
    if result["above_bytes"] > MOST_BYTES:
        yield f"{result['above_bytes'] >> 20} MiB for {len(mutant.data)} bytes that were refused ({result['code']})"
    if result["cpu_s"] > MOST_S:
        yield f"{result['cpu_s']:.2f} s for {len(mutant.data)} bytes that were refused ({result['code']})"


def how_to_repeat(seed: int, number: int, *, own: bool) -> str:
    """Return the command that makes a mutant again and reads it."""
    words = ["python", "-m", "tests.fuzz", "--seed", str(seed), "--only", str(number), *(["--own"] if own else [])]
    return shlex.join(words)
