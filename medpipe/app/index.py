"""The index of a lake as a run needs it: all sources merged, with what is private beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from medpipe.lake.committed import Committed
from medpipe.lake.index import index_sources, read_index
from medpipe.lake.lake import Lake
from medpipe.plan.cases import Case
from medpipe.work.payload import case_payload

Row = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Index:
    """Index rows of all sources and the private locators of their volumes.

    Attributes
    ----------
    instances, members, series, volumes : list of dict
        Rows as the index tables hold them.
    versions : mapping of str to str
        Source version by volume key.
    locators : mapping of str to dict
        By volume key: stack, companions and root; private.
    state : tuple of str
        Generation of each source's index.
    """

    instances: list[Row] = field(default_factory=list)
    members: list[Row] = field(default_factory=list)
    series: list[Row] = field(default_factory=list)
    volumes: list[Row] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    locators: dict[str, dict[str, Any]] = field(default_factory=dict)
    state: tuple[str, ...] = ()

    def candidates(self) -> list[Row]:
        """Return the volumes with what a recipe may choose them by."""
        parts = {row["series_key"]: row["body_part"] for row in self.series}
        return [{**row, "body_part": parts.get(row["series_key"])} for row in self.volumes]

    def payload(self, case: Case, committed: Committed) -> dict[str, Any]:
        """Return what a sandbox needs to run a case; private."""
        keys = sorted(key for key in committed.products_of(case.volume_key) if committed.has_product(key))
        return case_payload(case, self.locators[case.volume_key], [committed.product(key) for key in keys])


def load_index(lake: Lake) -> Index:
    """Read and merge the index of every source.

    A series that a source (by order of their ids) has already given is not taken from a later
    one; the later files are listed with ``S_OTHER_SOURCE``.
    """
    index = Index()
    dates: dict[str, tuple[str, str]] = {}
    generations = []
    for source in index_sources(lake):
        # what is private is written last: a scan that was killed before has the generation of the scan before it,
        # and a source that no scan has finished is not there yet
        if not lake.private.exists(f"volumes/{source}"):
            continue
        private = json.loads(lake.private.get(f"volumes/{source}"))
        generation = private["generation"]
        generations.append(generation)
        taken = {row["series_key"] for row in index.series}
        _merge(
            index,
            {name: _rows(lake, name, source, generation) for name in ("instances", "members", "series", "volumes")},
            taken,
        )
        for key, locator in private["volumes"].items():
            if key not in index.locators:
                index.locators[key] = {**locator, "root": private["root"]}
                index.versions[key] = locator["version"]
        dates |= {key: tuple(value) for key, value in private["dates"].items()}
    index.state = tuple(generations)
    _add_study_days(index.series, dates)
    return index


def _rows(lake: Lake, name: str, source: str, generation: str) -> list[Row]:
    rows: list[Row] = read_index(lake, name, source=source, generation=generation).to_pylist()
    return rows


def _merge(index: Index, tables: Mapping[str, list[Row]], taken: set[str]) -> None:
    index.instances += [_instance(row, taken) for row in tables["instances"]]
    index.series += [row for row in tables["series"] if row["series_key"] not in taken]
    fresh = [row for row in tables["volumes"] if row["series_key"] not in taken]
    index.volumes += fresh
    keys = {row["volume_key"] for row in fresh}
    index.members += [row for row in tables["members"] if row["volume_key"] in keys]


def _instance(row: Row, taken: set[str]) -> Row:
    if row["outcome"] == "used" and row["series_key"] in taken:
        return {**row, "outcome": "duplicate", "code": "S_OTHER_SOURCE"}
    return row


def _add_study_days(series: Sequence[Row], dates: Mapping[str, tuple[str, str]]) -> None:
    """Fill ``study_day``: days since the patient's first study in the lake."""
    days = {key: _day(text) for key, (_patient, text) in dates.items()}
    first: dict[str, int] = {}
    for key, (patient, _text) in dates.items():
        day = days[key]
        if day is not None:
            first[patient] = min(day, first.get(patient, day))
    for row in series:
        day = days.get(row["series_key"])
        row["study_day"] = None if day is None else day - first[row["patient_key"]]


def _day(text: str) -> int | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8])).toordinal()
    except ValueError:
        return None
