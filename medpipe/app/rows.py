"""Index rows of one archive: what the scan and the assembly found, under pseudonyms."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any

from medpipe.archive.assemble import Assembly, Outcome
from medpipe.archive.closed import standard_uid
from medpipe.archive.companions import Reference
from medpipe.archive.encoding import decode_path
from medpipe.archive.header import Header
from medpipe.archive.reconstruction import reconstruction_facts
from medpipe.archive.series import series_facts
from medpipe.archive.stacks import Stack
from medpipe.keys import digest
from medpipe.lake.arrow import Columns
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.ranges import placed

Row = dict[str, Any]
Rows = list[Row] | Columns

_REMEMBERED = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedRows:
    """The index of a range of a source, public and private.

    Attributes
    ----------
    tables : mapping of str to rows
        Rows of ``instances``, ``members``, ``series`` and ``volumes``.
    locators : mapping of str to dict
        By volume key, what a case needs to find and check its files; private.
    dates : mapping of str to (str, str)
        By series key, patient key and study date; private.
    """

    tables: dict[str, Rows]
    locators: dict[str, Row]
    dates: dict[str, tuple[str, str]]


class Naming:
    """Turns raw identifiers of a source into keys.

    The first digits of a key say in which range it lies: those of a series are its study's,
    those of a volume its series'. What names no study has digits of its own.

    Parameters
    ----------
    source : str
        Id of the source.
    pseudonyms : Pseudonyms
    identified : bool
        Whether raw identifiers may be in the rows.
    """

    def __init__(self, *, source: str, pseudonyms: Pseudonyms, identified: bool) -> None:
        self.source = source
        self.pseudonyms = pseudonyms
        self.identified = identified
        # files of a series come one after the other
        self._series = lru_cache(_REMEMBERED)(self._series_key)
        self._places: dict[str, str] = {}

    def instance(self, path: str) -> str:
        """Return the key of a file."""
        return self.pseudonyms.key("instance", self.source, path)

    def instances(self, paths: Iterable[str]) -> list[str]:
        """Return the keys of files."""
        return self.pseudonyms.keys("instance", self.source, last=paths)

    def series(self, thing: Header | Stack) -> str | None:
        """Return the key of a series; None for a file that names none and is no image.

        All images of a source that name neither patient nor study nor series are one series.
        """
        is_named = thing.series_uid or thing.study_uid or thing.patient_id
        if not is_named and not isinstance(thing, Stack) and not _is_image(thing):
            return None
        return self._series(thing.series_uid, thing.study_uid, "" if thing.series_uid else thing.patient_id)

    def _series_key(self, series_uid: str, study_uid: str, patient_id: str) -> str:
        own = (series_uid,) if series_uid else ("", study_uid, patient_id, self.source)
        key = self.pseudonyms.key("series", *own)
        return placed(key, self.pseudonyms.key("study", study_uid)) if study_uid else key

    def place(self, header: Header) -> str:
        """Return the key that says in which range a file lies."""
        if not header.like:
            return self.series(header) or self.instance(header.path)
        place = self._places.get(header.like)
        if place is None:
            if len(self._places) >= _REMEMBERED:
                self._places.clear()
            # an image always has a series
            place = self._places[header.like] = self.series(header) or ""
        return place

    def volume(self, stack: Stack) -> str:
        """Return the key of a volume."""
        series = self.series(stack)
        assert series is not None, "every stack has a series"
        return placed(self.pseudonyms.key("volume", stack.identity), series)

    def frame_of_reference(self, stack: Stack) -> str | None:
        """Return the key of a frame of reference, or None."""
        uid = stack.frame_of_reference_uid
        return self.pseudonyms.key("frame of reference", uid) if uid else None

    def raw(self, value: str) -> str | None:
        """Return an identifier as it is in an identified lake, else None."""
        return value if self.identified and value else None


def index_rows(naming: Naming, headers: Sequence[Header], assembly: Assembly) -> IndexedRows:
    """Return the index rows of whole series of a source; companions are found later."""
    volumes = {naming.volume(stack): stack for stack in assembly.stacks}
    members = {key: stack for key, stack in volumes.items() if stack.members}
    series = list(_series_rows(naming, headers, assembly.stacks))
    by_path = {header.path: header for header in headers}
    keys = dict(zip(by_path, naming.instances(by_path), strict=True))
    tables: dict[str, Rows] = {
        "instances": _instance_columns(naming, headers, keys, assembly.outcomes) if headers else [],
        "members": _member_columns(naming, members, keys) if members else [],
        "series": [row for row, _ in series],
        "volumes": [_volume_row(naming, key, stack, by_path) for key, stack in volumes.items()],
    }
    return IndexedRows(
        tables=tables,
        locators={key: _locator(naming, stack, by_path) for key, stack in volumes.items() if not stack.refused},
        dates={row["series_key"]: (row["patient_key"], date) for row, date in series},
    )


def with_companions(locator: Row, companions: Sequence[Reference]) -> Row:
    """Return what companions change in a locator; reading them one by one takes the memory of the largest."""
    digests = {**locator["digests"], **{one.path: one.content for one in companions}}
    labels = {one.path: list(one.labels) for one in companions if one.labels}
    return {
        "companions": [one.path for one in companions],
        "digests": digests,
        "version": _version(digests, locator["stack"]["discriminator"], list(labels.values())),
        "companion_bytes": max((one.reading_bytes for one in companions), default=0),
        **({"labels": labels} if labels else {}),
    }


def day_of(date: str) -> int | None:
    """Return the number of a day, or None for a text that is no date (YYYYMMDD)."""
    try:
        return dt.date(int(date[:4]), int(date[4:6]), int(date[6:8])).toordinal()
    except ValueError:
        return None


def _is_image(header: Header) -> bool:
    return header.has_pixels and not header.code


def rows_of(table: Rows) -> Iterable[Row]:
    """Return a table's rows."""
    return table.rows() if isinstance(table, Columns) else table


def column_of(table: Rows, name: str) -> Sequence[Any]:
    """Return a column of a table."""
    return table.values[name] if isinstance(table, Columns) else [row[name] for row in table]


def _instance_columns(
    naming: Naming, headers: Sequence[Header], keys: Mapping[str, str], outcomes: Mapping[str, Outcome]
) -> Columns:
    alike: dict[str, tuple[Any, ...]] = {}
    shared: list[tuple[Any, ...]] = []
    for header in headers:
        said = alike.get(header.like)
        if said is None:
            said = _shared(naming, header)
            if header.like:
                alike[header.like] = said
        shared.append(said)
    series, modality, sop_class, syntax, n_frames, lossy = zip(*shared, strict=True)
    found = [outcomes[header.path] for header in headers]
    n_rows = len(headers)
    return Columns(
        {
            "instance_key": [keys[header.path] for header in headers],
            "series_key": series,
            "source": [naming.source] * n_rows,
            "modality": modality,
            "sop_class_uid": sop_class,
            "transfer_syntax": syntax,
            "size_bytes": [header.size for header in headers],
            "n_frames": n_frames,
            "lossy": lossy,
            "outcome": [one.outcome for one in found],
            "code": [one.code or None for one in found],
            "path": [_shown_path(header) for header in headers] if naming.identified else [None] * n_rows,
            "sop_instance_uid": [naming.raw(header.sop_instance_uid) for header in headers],
        }
    )


def _shared(naming: Naming, header: Header) -> tuple[Any, ...]:
    """Return what rows of headers that are alike have in common."""
    return (
        naming.series(header),
        header.modality or None,
        standard_uid(header.sop_class_uid),
        standard_uid(header.transfer_syntax),
        header.n_frames if header.has_pixels else 0,
        header.lossy,
    )


def _shown_path(header: Header) -> str | None:
    return decode_path(header.path).decode("utf-8", "backslashreplace") or None


def _member_columns(naming: Naming, stacks: Mapping[str, Stack], instances: Mapping[str, str]) -> Columns:
    each = [(key, stack, len(stack.members)) for key, stack in stacks.items()]
    return Columns(
        {
            "instance_key": [instances[member.path] for _, stack, _ in each for member in stack.members],
            "frame": [max(member.frame, 0) for _, stack, _ in each for member in stack.members],
            "volume_key": [one for key, _, count in each for one in repeat(key, count)],
            "index": [index for _, _, count in each for index in range(count)],
            "series_key": [one for _, stack, count in each for one in repeat(naming.series(stack), count)],
            "modality": [one for _, stack, count in each for one in repeat(stack.modality or None, count)],
        }
    )


def _volume_row(naming: Naming, key: str, stack: Stack, headers: Mapping[str, Header]) -> Row:
    return {
        "volume_key": key,
        "series_key": naming.series(stack),
        "kind": stack.kind,
        "modality": stack.modality or None,
        "route": None,
        "shape": list(stack.shape),
        "axes": stack.axes,
        "spacing_mm": _listed(stack.spacing_mm),
        "affine_lps": _listed(stack.affine_lps),
        "slice_positions_mm": _listed(stack.slice_positions_mm),
        "unit": stack.unit,
        "dtype": None,
        "verdict": stack.verdict,
        "code": stack.code or None,
        "lossy": stack.lossy,
        "content_digest": None,
        "store": None,
        "final_store": None,
        "flags": list(stack.flags),
        "tilt_deg": stack.tilt_deg,
        "n_missing": None if stack.missing_mm is None else len(stack.missing_mm),
        "missing_mm": _listed(stack.missing_mm) or None,
        "values": None if stack.refused else stack.values,
        "padding": None if stack.padding is None else list(stack.padding),
        "real_world_map": stack.real_world_map,
        "monochrome1": stack.monochrome1,
        **_uptake(stack),
        **reconstruction_facts([headers[path] for path in stack.paths]),
        "chosen_instead": None,
        "decided_by": None,
    }


def _uptake(stack: Stack) -> Row:
    """Return what may be told of the factors to uptake: derived numbers, not what they were made of."""
    if stack.suv is None:
        return {"suv_factor": None, "suv_code": None, "suv_flags": None}
    found = stack.suv.by_kind["bw"]
    is_code = isinstance(found, str)
    return {
        "suv_factor": None if is_code else list(found),
        "suv_code": found if is_code else None,
        "suv_flags": list(stack.suv.flags),
    }


def _listed(values: Iterable[float] | None) -> list[float] | None:
    return None if values is None else [float(value) for value in values]


def _locator(naming: Naming, stack: Stack, headers: Mapping[str, Header]) -> Row:
    digests = {path: headers[path].content for path in stack.paths}
    return {
        "stack": stack.to_json(),
        "companions": [],
        "digests": digests,
        "frame_of_reference_key": naming.frame_of_reference(stack),
        "version": _version(digests, stack.discriminator),
    }


def _version(digests: Mapping[str, str], discriminator: str, labels: Sequence[Sequence[int]] = ()) -> str:
    # the bytes in array order, not their names: a moved or touched file is the same source
    return digest([list(digests.values()), discriminator, *([labels] if labels else [])])


def _series_rows(naming: Naming, headers: Iterable[Header], stacks: Iterable[Stack]) -> Iterator[tuple[Row, str]]:
    """Yield each series with its study date (private)."""
    members: dict[str, list[Header]] = defaultdict(list)
    alike: dict[str, list[Header]] = {}
    for header in headers:
        found = alike.get(header.like)
        if found is not None:
            found.append(header)
            continue
        key = naming.series(header)
        if key is not None and (header.sop_class_uid or header.format):
            members[key].append(header)
            if header.like:
                alike[header.like] = members[key]
    volumes = Counter(naming.series(stack) for stack in stacks if not stack.refused)
    for key, of_series in sorted(members.items()):
        yield _series_row(naming, key, of_series, volumes[key])


def _series_row(naming: Naming, key: str, headers: Sequence[Header], n_volumes: int) -> tuple[Row, str]:
    facts = series_facts(headers)
    private: Mapping[str, str] = facts["private"]
    name = naming.pseudonyms.key
    study, patient, date = private["study_uid"], private["patient_id"], private["study_date"]
    scanner = [private[part] for part in ("model", "station", "serial")]
    row = {
        "series_key": key,
        "study_key": name("study", study or key),
        "patient_key": name("patient", patient) if patient else name("patient", "", study or key),
        "source": naming.source,
        **facts["columns"],
        "model": name("model", private["model"]) if private["model"] else None,
        "scanner_key": name("scanner", *scanner) if any(scanner) else None,
        "software": name("software", private["software"]) if private["software"] else None,
        "study_day": None,
        "period": date[:4] or None,
        "n_volumes": n_volumes,
        "series_instance_uid": naming.raw(private["series_uid"]),
        "study_instance_uid": naming.raw(study),
        "patient_id": naming.raw(patient),
    }
    return row, date
