"""The index of a lake as a run needs it: all sources merged, range by range, with what is private beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from medpipe.app.joining import Joiner
from medpipe.app.rows import day_of
from medpipe.app.scan_state import known_sources
from medpipe.app.source_index import TABLES, Row, SourceIndex
from medpipe.app.unhosted import Unhosted
from medpipe.keys import digest
from medpipe.lake.committed import Committed
from medpipe.lake.lake import Lake
from medpipe.lake.marks import Least
from medpipe.plan.cases import Case
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.ranges import Range
from medpipe.work.payload import case_payload

OF_SERIES = ("study_key", "patient_key", "body_part", "contrast", "study_day")
"""What a recipe or a cohort may choose a volume by that its series says."""


@dataclass(slots=True, kw_only=True)
class Index:
    """Index rows of a range and the private locators of its volumes, all sources merged.

    Attributes
    ----------
    instances, members, series, volumes : list of dict
        Rows as the index tables hold them.
    versions : mapping of str to str
        Source version by volume key.
    locators : mapping of str to dict
        By volume key: stack, companions and root, or roots by the first part of paths; private.
    """

    instances: list[Row] = field(default_factory=list)
    members: list[Row] = field(default_factory=list)
    series: list[Row] = field(default_factory=list)
    volumes: list[Row] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    locators: dict[str, dict[str, Any]] = field(default_factory=dict)

    def candidates(self) -> list[Row]:
        """Return the volumes with what a recipe may choose them by, and what reading their companions takes."""
        said = {row["series_key"]: {name: row[name] for name in OF_SERIES} for row in self.series}
        nothing = dict.fromkeys(OF_SERIES)
        segmented = {key for key, one in self.locators.items() if one.get("companions")}
        reading = {key: one.get("companion_bytes", 0) for key, one in self.locators.items()}
        frames = {key: one.get("frame_of_reference_key") for key, one in self.locators.items()}
        return [
            {
                **row,
                **said.get(row["series_key"], nothing),
                "is_segmented": row["volume_key"] in segmented,
                "companion_bytes": reading.get(row["volume_key"], 0),
                "frame_key": frames.get(row["volume_key"]),
            }
            for row in self.volumes
        ]

    def payload(self, case: Case, committed: Committed) -> dict[str, Any]:
        """Return what a sandbox needs to run a case; private."""
        keys = sorted(key for key in committed.products_of(case.volume_key) if committed.has_product(key))
        return case_payload(case, self.locator_of(case), [committed.product(key) for key in keys])

    def locator_of(self, case: Case) -> dict[str, Any]:
        """Return where the files of a case are, those of its companion images beside them; private."""
        own = self.locators[case.volume_key]
        if not case.paired:
            return own
        images = {one.name: {"code": one.code} if one.code else self.locators[one.volume_key] for one in case.paired}
        return {**own, "images": images}


class LakeIndex:
    """The index of all sources of a lake, read range by range.

    Attributes
    ----------
    generations : tuple of str
        By source, its id and that of its generation, in the order of their first scans.
    state : str
        Digest of all that is loaded of any range.
    n_volumes, n_instances : int
        Rows of all sources; a series that several sources hold is counted in each.
    """

    def __init__(self, sources: Sequence[SourceIndex], pseudonyms: Pseudonyms) -> None:
        self._sources = sources
        self._first_days = Least(source.dates for source in sources)
        self._joiner = Joiner(sources, pseudonyms) if len(sources) > 1 else None
        self._unhosted = Unhosted(sources, pseudonyms)
        self.generations = tuple(f"{one.state.source}-{one.generation.id}" for one in sources)
        contents = [] if self._joiner is None else self._joiner.contents()
        self.state = digest([*self.generations, *contents])
        self.n_volumes = sum(one.generation.rows.get("volumes", 0) for one in sources)
        self.n_instances = sum(one.generation.rows.get("instances", 0) for one in sources)

    @classmethod
    def open(cls, lake: Lake, pseudonyms: Pseudonyms) -> Self:
        """Open the index; only what says where things are is read.

        Raises
        ------
        LakeError
            If the index of a source lacks a file: any scan makes it again.
        """
        found = [one for one in (SourceIndex.open(lake, source) for source in known_sources(lake)) if one is not None]
        return cls(sorted(found, key=lambda one: (one.state.order, one.state.source)), pseudonyms)

    def digest_of(self, within: Range) -> str:
        """Return a digest of everything :meth:`load` returns for a range.

        It may change although that does not, where a source is cut more coarsely.
        """
        facts = [
            [one.state.source, *one.facts(within, self._first_days), *self._unhosted.facts(place, within)]
            for place, one in enumerate(self._sources)
        ]
        return digest(facts if self._joiner is None else [facts, self._joiner.facts(within)])

    def series_keys(self, within: Range) -> Iterator[Row]:
        """Yield the keys of the series of a range, of their studies and patients; one of two sources twice."""
        for source in self._sources:
            for row in source.rows("series", within):
                yield {name: row[name] for name in ("series_key", "study_key", "patient_key")}

    def load(self, within: Range) -> Index:
        """Return the rows and locators of a range, as if all sources were one archive.

        Instances that several sources hold are taken from one; the files of the others are
        listed with ``S_OTHER_SOURCE``. See :class:`medpipe.app.joining.Joiner`. Segmentations and
        structure sets that no volume of any source goes with are told with ``W_NO_IMAGE``.

        Raises
        ------
        IntegrityError
            If a file of the index is damaged.
        """
        index = Index()
        dates: dict[str, Sequence[str]] = {}
        for source in self._sources:
            for name in TABLES:
                getattr(index, name).extend(source.rows(name, within))
            for locators, companions in source.private(within):
                dates |= locators["dates"]
                for key, one in locators["volumes"].items():
                    if key in within:
                        index.locators[key] = {**one, **companions.get(key, {}), "root": source.state.root}
        if self._joiner is not None:
            self._joiner.join(index, dates, within)
        self._unhosted.tell(index, within)
        index.versions = {key: one["version"] for key, one in index.locators.items()}
        for row in index.series:
            row["study_day"] = self._study_day(dates.get(row["series_key"]))
        return index

    def _study_day(self, dated: Sequence[str] | None) -> int | None:
        """Return the days since the patient's first study in the lake."""
        if dated is None:
            return None
        patient, text = dated
        day, first = day_of(text), self._first_days.of(patient)
        return None if day is None or first is None else day - first
