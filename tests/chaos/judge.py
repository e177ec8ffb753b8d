"""What is found in a lake after a kill, and after the run that took over.

Nothing here asserts: a finding is data, so that a bench with a safeguard removed can show that
it was noticed, and by which look.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from medpipe.app.site import Site
from medpipe.app.verify import verify_lake
from medpipe.errors import MedpipeError
from medpipe.lake.lake import Lake, is_lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.runs import Run, run_names
from medpipe.lake.segments import list_segments, read_segment
from tests.app.runs import tables_of, volumes_of

KINDS = ("lost", "duplicated", "torn", "tables", "volumes", "recomputed", "orphan", "exit")
"""What can be wrong: the counts a bench ends with."""


class Finding(NamedTuple):
    """Something that must not be: its kind and what it is."""

    kind: str
    what: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What a lake had promised to keep at an instant.

    Attributes
    ----------
    cases : mapping of str to str
        Case key to the segment that holds it.
    products : mapping of str to str
        Product key to the segment that holds it.
    stored : frozenset of str
        Volumes that these products store, by path.
    """

    cases: dict[str, str]
    products: dict[str, str]
    stored: frozenset[str]


def acknowledged(root: Path, *, only: frozenset[str] | None = None) -> Acknowledged:
    """Read what the segments of a lake hold, perhaps of some segments only.

    Raises
    ------
    MedpipeError
        If a segment is torn.
    """
    if not is_lake(root):
        return Acknowledged({}, {}, frozenset())
    lake = Lake.open(root)
    named = [name for name in list_segments(lake) if only is None or name in only]
    results = [(name, result) for name in named for result in read_segment(lake, name)]
    products = [(name, product) for name, result in results for product in result.products]
    stored = {
        row.get(column)
        for _, product in products
        if product.kind == "volume"
        for row in product.rows
        for column in ("store", "final_store")
    }
    return Acknowledged(
        {result.case.case_key: name for name, result in results},
        {product.key: name for name, product in products},
        frozenset(stored - {None}),
    )


def after_kill(root: Path) -> list[Finding]:
    """Look at a lake as readers would, whatever was killed just now."""
    if not is_lake(root):
        return []
    try:
        damaged = verify_lake(root)["damaged"]
    except MedpipeError as error:
        damaged = [str(error)]
    found = [Finding("torn", str(line)) for line in damaged]
    link = root / LAYOUT.tables()
    if link.is_symlink() and not link.resolve().is_dir():
        found.append(Finding("torn", "the link to the tables leads nowhere"))
    return found + told_too_much(root)


def told_too_much(root: Path) -> list[Finding]:
    """Find runs whose event record counts more cases as ended than their segments hold."""
    lake = Lake.open(root)
    try:
        sealed = Counter(name.split("/")[-2] for name in list_segments(lake) for _ in read_segment(lake, name))
    except MedpipeError:
        return []  # said already
    found = []
    for name in run_names(lake):
        told = _told(Run(lake, name))
        if told > sealed[name]:
            found.append(Finding("lost", f"{name}: {told} cases told, {sealed[name]} sealed"))
    return found


def _told(run: Run) -> int:
    """Return how many cases an event record says have ended: one event a case, or running counts."""
    events = list(run.read_events())
    single = sum(event["event"] == "case" for event in events)
    running = [event for event in events if event["event"] == "progress"]
    counts = [sum(event.get(status, 0) for status in ("done", "rejected", "failed")) for event in running]
    return max([single, *counts])


def after_resume(calm: Path, root: Path, before: Acknowledged) -> list[Finding]:
    """Hold a lake whose run was killed and taken over against the undisturbed one.

    Parameters
    ----------
    calm, root : Path
    before : Acknowledged
        What was sealed when the last kill struck.
    """
    found = after_kill(root)
    if not (root / LAYOUT.tables()).exists():
        return [*found, Finding("lost", "the tables")]
    if (differing := _differing(tables_of(root), _calm_tables(calm))) is not None:
        found.append(Finding("tables", differing))
    if (differing := _differing(volumes_of(root), _calm_volumes(calm))) is not None:
        found.append(Finding("volumes", differing))
    return found + kept(root, before)


def kept(root: Path, before: Acknowledged) -> list[Finding]:
    """Find what was acknowledged and is gone, or was computed once more."""
    lake = Lake.open(root)
    cases: Counter[str] = Counter()
    products: Counter[str] = Counter()
    for name in list_segments(lake):
        for result in read_segment(lake, name):
            cases[result.case.case_key] += 1
            products.update(product.key for product in result.products)
    found = [Finding("lost", f"case {key}") for key in before.cases if key not in cases]
    found += [Finding("lost", f"product {key}") for key in before.products if key not in products]
    found += [
        Finding("lost", f"volume {path}") for path in before.stored if not lake.store.exists(LAYOUT.manifest(path))
    ]
    again = [(key, cases[key]) for key in cases if cases[key] > 1]
    found += [Finding("recomputed" if key in before.cases else "duplicated", f"case {key}") for key, _ in again]
    found += [Finding("duplicated", f"product {key}") for key, times in products.items() if times > 1]
    return found


@cache
def _calm_tables(lake: Path) -> dict[str, str]:
    return tables_of(lake)


@cache
def _calm_volumes(lake: Path) -> dict[str, str]:
    return volumes_of(lake)


def _differing(found: dict[str, str], expected: dict[str, str]) -> str | None:
    if found == expected != {}:
        return None
    names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    return f"{len(names)} files, such as {names[0] if names else '-'}"


def orphans(root: Path, key: Path) -> list[Finding]:
    """Find what no rule of ``gc`` accounts for: attempts, and things out of reach."""
    from medpipe.app.gc import orphans as unaccounted

    return [Finding("orphan", path) for path in unaccounted(root, Site(key_file=key))]
