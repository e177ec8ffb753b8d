"""``--cohort`` and ``--cohort-sql``: which patients, studies and series a run is limited to.

A file holds identifiers as the archive has them, which become keys here as in a scan, or keys
of the tables. Nothing of what it says is written anywhere but as keys, and in no message.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from medpipe.app.index import Index, LakeIndex
from medpipe.contracts.tables import SERIES, VOLUMES
from medpipe.errors import ConfigError
from medpipe.lake.query import ask_parts
from medpipe.plan.cohort import Cohort
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.ranges import all_ranges, bits_for, own_digits

Kind = Literal["patient", "study", "series"]

_KINDS: tuple[Kind, ...] = ("series", "study", "patient")
"""The narrowest first: what a row of several columns means."""

_COLUMNS: dict[str, tuple[Kind, bool]] = {
    "patientid": ("patient", False),
    "patient": ("patient", False),
    "patientkey": ("patient", True),
    "studyinstanceuid": ("study", False),
    "studyuid": ("study", False),
    "study": ("study", False),
    "studykey": ("study", True),
    "seriesinstanceuid": ("series", False),
    "seriesuid": ("series", False),
    "series": ("series", False),
    "serieskey": ("series", True),
}
"""Names of columns, in lower case without blanks, hyphens and underscores: what they name, and whether that is a key."""

_KEY = re.compile(r"[0-9a-f]{32}")
_NAMED = "patient_id, study_instance_uid, series_instance_uid, patient_key, study_key or series_key"
_SHOWN_LINES = 10


class Entry(NamedTuple):
    """What a line of a cohort file names; kind None where only its text is there."""

    line: int
    text: str
    kind: Kind | None = None
    is_key: bool = False


class Listed(NamedTuple):
    """What a cohort file names; and of a file of one column the line that was taken for its header, or None."""

    entries: list[Entry]
    header: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """A cohort held against the index.

    Attributes
    ----------
    cohort : Cohort
    n_series : int
        Series of the lake that are in it.
    unmatched : tuple of int
        Lines of the file that name nothing the lake has.
    header : int or None
        Line of a file of one column that was taken for its header.
    """

    cohort: Cohort
    n_series: int
    unmatched: tuple[int, ...] = ()
    header: int | None = None

    def facts(self) -> dict[str, Any]:
        """Return the cohort as plain values."""
        return {
            "digest": self.cohort.digest,
            "entries": self.cohort.n_entries,
            "entries that match nothing": len(self.unmatched),
            "series": self.n_series,
        }

    def lines(self) -> Iterator[str]:
        """Yield what a person should know: which lines are a header or name nothing, by number alone."""
        if self.header is not None:
            yield f"cohort: line {self.header} is taken for the name of the column, not for an identifier"
        if self.unmatched:
            shown = ", ".join(map(str, self.unmatched[:_SHOWN_LINES]))
            more = ", ..." if len(self.unmatched) > _SHOWN_LINES else ""
            yield f"cohort: {len(self.unmatched)} of its entries match nothing in the lake (lines {shown}{more})"


def cohort_line(info: Mapping[str, Any]) -> str:
    """Return what a run was limited to, by what was known of it when it started."""
    if info.get("cohort") is None:
        return "none: the whole archive"
    return f"{info['cohort']} ({info['cohort_entries']} entries)"


def read_cohort(path: Path) -> Listed:
    """Read a cohort file: one identifier or key a line, or a table (CSV) with a header.

    Columns are set apart by tabs, semicolons or commas. Of a row with several identifiers the
    narrowest counts: the series, else the study, else the patient.

    Raises
    ------
    ConfigError
        If it cannot be read, is empty, or has several columns and none that is known.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError("--cohort: the file cannot be read: it is not in UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"--cohort: the file cannot be read ({type(error).__name__})") from None
    try:
        rows = list(_rows(text))
    except csv.Error as error:
        raise ConfigError(f"--cohort: the file is no table: {error}") from None
    if not rows:
        raise ConfigError("--cohort: the file is empty: nothing was run")
    header, first = rows[0]
    columns = {place: _COLUMNS[name] for place, name in enumerate(map(_column, first)) if name in _COLUMNS}
    if columns:
        entries = [entry for line, cells in rows[1:] if (entry := _narrowest(line, cells, columns)) is not None]
    elif any(len(cells) > 1 for _, cells in rows):
        raise ConfigError(
            f"--cohort: of several columns none is named {_NAMED} (an identifier with a comma, a semicolon or a tab "
            "in it wants double quotes around it)"
        )
    else:
        entries = [Entry(line, cells[0]) for line, cells in rows]
    if not entries:
        raise ConfigError("--cohort: the file names nothing: nothing was run")
    return Listed(entries, header if columns and len(first) == 1 else None)


def check_cohort_sql(text: str) -> None:
    """Refuse a query that cannot be asked, or gives no keys, before anything is scanned.

    Raises
    ------
    ConfigError
    """
    _key_column(_asked(text, ()).column_names)


def limit_to_file(listed: Listed, index: LakeIndex, pseudonyms: Pseudonyms) -> Limited:
    """Turn what a file names into keys and hold them against the index.

    Raises
    ------
    ConfigError
        If no series of the lake is in the cohort.
    """
    keys: dict[tuple[str, str], set[int]] = {}
    lines: dict[int, set[tuple[str, str]]] = {}
    texts = set()
    for entry in listed.entries:
        texts.add(entry[1:])
        lines[entry.line] = set(_keys(entry, pseudonyms))
        for key in lines[entry.line]:
            keys.setdefault(key, set()).add(entry.line)
    named: dict[Kind, frozenset[str]] = {
        kind: frozenset(key for of_kind, key in keys if of_kind == kind) for kind in _KINDS
    }
    cohort = Cohort(patients=named["patient"], studies=named["study"], series=named["series"], n_entries=len(texts))
    n_series, matched = _held_against(cohort, index)
    unmatched = sorted(line for line, own in lines.items() if not own & matched)
    return Limited(cohort=cohort, n_series=n_series, unmatched=tuple(unmatched), header=listed.header)


def limit_to_query(text: str, index: LakeIndex) -> Limited:
    """Ask the tables ``series`` and ``volumes`` of the index for the keys of a cohort.

    The query is asked of the whole index at once, which lies in files meanwhile.

    Raises
    ------
    ConfigError
        If the text is no query for keys, or no series of the lake is in the cohort.
    """
    found = _asked(text, (index.load(one) for one in all_ranges(bits_for(index.n_volumes))))
    column, kind = _key_column(found.column_names)
    keys = {str(key) for key in found[column].to_pylist() if key is not None}
    return limit_to_keys(_cohort_of(kind, keys), index)


def limit_to_keys(cohort: Cohort, index: LakeIndex) -> Limited:
    """Hold a cohort that was frozen before against the index.

    Raises
    ------
    ConfigError
        If no series of the lake is in it.
    """
    return Limited(cohort=cohort, n_series=_held_against(cohort, index)[0])


def _held_against(cohort: Cohort, index: LakeIndex) -> tuple[int, set[tuple[str, str]]]:
    """Return how many series of the lake are in a cohort, and for the sake of which of its keys."""
    found: set[str] = set()
    matched: set[tuple[str, str]] = set()
    for one in all_ranges(bits_for(index.n_volumes)):
        for row in index.series_keys(one):
            reasons = cohort.reasons(row)
            if reasons:
                found.add(row["series_key"])
                matched.update(reasons)
    if not found:
        raise ConfigError("no series of the lake is in the cohort: nothing was run, the tables are as they were")
    return len(found), matched


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, with the numbers of their lines."""
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = max("\t;,", key=first.count)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    for cells in reader:
        plain = [cell.replace("\0", "").strip() for cell in cells]
        if any(plain):
            yield reader.line_num, plain


def _column(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower())


def _narrowest(line: int, cells: list[str], columns: Mapping[int, tuple[Kind, bool]]) -> Entry | None:
    named = [(kind, is_key, cells[place]) for place, (kind, is_key) in columns.items() if place < len(cells)]
    given = [one for one in named if one[2]]
    if not given:
        return None
    kind, is_key, text = min(given, key=lambda one: _KINDS.index(one[0]))
    return Entry(line, text, kind, is_key)


def _keys(entry: Entry, pseudonyms: Pseudonyms) -> Iterator[tuple[str, str]]:
    """Yield the keys an entry may be, as (kind, key)."""
    for kind in _KINDS if entry.kind is None else (entry.kind,):
        found = [] if entry.is_key else [pseudonyms.key(kind, entry.text)]
        if entry.is_key or (entry.kind is None and _KEY.fullmatch(entry.text)):
            found.append(entry.text)
        yield from ((kind, own_digits(key) if kind == "series" else key) for key in found)


def _asked(text: str, indexes: Iterable[Index]) -> Any:
    parts = ({"series": index.series, "volumes": index.candidates()} for index in indexes)
    try:
        return ask_parts({"series": SERIES, "volumes": VOLUMES}, parts, text)
    except ConfigError as error:
        raise ConfigError(f"--cohort-sql: {error}") from None


def _key_column(names: Iterable[str]) -> tuple[str, Kind]:
    known = {f"{kind}_key": kind for kind in _KINDS}
    found = [name for name in names if name in known]
    if len(found) != 1:
        raise ConfigError("--cohort-sql: one column series_key, study_key or patient_key is expected")
    return found[0], known[found[0]]


def _cohort_of(kind: Kind, keys: set[str]) -> Cohort:
    if kind == "series":
        return Cohort(series=frozenset(map(own_digits, keys)), n_entries=len(keys))
    return Cohort(**{"patients" if kind == "patient" else "studies": frozenset(keys)}, n_entries=len(keys))
