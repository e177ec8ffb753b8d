"""Runs: the locked recipe, the plan in shards, the event record, and how a run ended.

All of it says what happened; no key depends on it.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from medpipe.errors import LakeError
from medpipe.keys import bytes_digest
from medpipe.lake.arrow import table_from
from medpipe.lake.durable import ensure_folder, storage_faults
from medpipe.lake.lake import Lake
from medpipe.lake.sums import line_with_sum, read_with_sum, text_with_sum, with_sum

_STAMP = "%Y%m%dT%H%M%S%f"

_PLAN_SCHEMA = pa.schema(
    [
        ("case_key", pa.string()),
        ("volume_key", pa.string()),
        ("series_key", pa.string()),
        ("route", pa.string()),
        ("source_version", pa.string()),
        ("numeric_class", pa.string()),
        ("projected_bytes", pa.int64()),
        ("content_known", pa.bool_()),
        ("to_compute", pa.list_(pa.string())),
        ("why", pa.string()),
        ("conditions", pa.string()),
        ("tries", pa.int64()),
    ]
)


class Run:
    """A run's folder in a lake.

    Parameters
    ----------
    lake : Lake
    name : str
        Id of the run: UTC time of its start and a few random digits.
    """

    def __init__(self, lake: Lake, name: str) -> None:
        self.lake = lake
        self.name = name

    def write_lock(self, text: str) -> None:
        """Write the locked recipe."""
        self.lake.store.put_if_absent(self.lake.layout.run_recipe(self.name), text_with_sum(text).encode())

    def lock(self) -> str:
        """Return the locked recipe as TOML text."""
        return self.lake.store.get(self.lake.layout.run_recipe(self.name)).decode()

    def write_shard(self, shard: int, rows: Sequence[Mapping[str, Any]], payloads: Sequence[str]) -> None:
        """Write a shard of the plan: public rows as Parquet, what names files (JSON texts) sealed beside it."""
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=_PLAN_SCHEMA)
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        data, layout = sink.getvalue(), self.lake.layout
        # the sum comes first, so that no shard is without one
        self.lake.store.put_if_absent(layout.run_plan_sum(self.name, shard), f"{bytes_digest(data)}\n".encode())
        self.lake.store.put_if_absent(layout.run_plan(self.name, shard), data)
        self.lake.private.put(self._sealed_shard(shard), f"[{','.join(payloads)}]".encode())

    def shard_rows(self, shard: int) -> list[dict[str, Any]]:
        """Return a shard's public rows."""
        data = self.lake.store.get(self.lake.layout.run_plan(self.name, shard))
        rows: list[dict[str, Any]] = table_from(data).to_pylist()
        return rows

    def shard_payloads(self, shard: int) -> list[dict[str, Any]]:
        """Return what the cases of a shard need to be read; only with the lake's key."""
        payloads: list[dict[str, Any]] = json.loads(self.lake.private.get(self._sealed_shard(shard)))
        return payloads

    def write_request(self, request: Mapping[str, Any]) -> None:
        """Keep what was asked for, sealed: it names folders."""
        self.lake.private.put(f"plan/{self.name}/request", json.dumps(dict(request)).encode())

    def request(self) -> dict[str, Any] | None:
        """Return what was asked for, or None where that is gone; only with the lake's key."""
        name = f"plan/{self.name}/request"
        if not self.lake.private.exists(name):
            return None
        request: dict[str, Any] = json.loads(self.lake.private.get(name))
        return request

    def write_cohort(self, cohort: Mapping[str, Any]) -> None:
        """Keep the keys of what the run is limited to, sealed: they say who is in a cohort."""
        self.lake.private.put(f"plan/{self.name}/cohort", json.dumps(dict(cohort)).encode())

    def cohort(self) -> dict[str, Any] | None:
        """Return what the run was limited to, or None where that was nothing; only with the lake's key."""
        name = f"plan/{self.name}/cohort"
        if not self.lake.private.exists(name):
            return None
        cohort: dict[str, Any] = json.loads(self.lake.private.get(name))
        return cohort

    def events(self, epoch: int) -> EventRecord:
        """Open the event record of one driver of this run for appending."""
        return EventRecord(self.lake, self.lake.layout.run_events(self.name, epoch))

    def epoch(self) -> int:
        """Return the epoch of the driver that worked on this run last; 0 where none came to its events."""
        paths = self.lake.store.list(self._events_folder())
        return max((int(path.rpartition("/")[2].partition(".")[0]) for path in paths), default=0)

    def read_events(self) -> Iterator[dict[str, Any]]:
        """Yield all events in order; a line torn by a kill is passed over."""
        for path in self.lake.store.list(self._events_folder()):
            for line in self.lake.store.get(path).splitlines():
                try:
                    yield json.loads(line)
                except ValueError:
                    continue

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Write what is known of the run when it starts, once."""
        self.lake.store.put_if_absent(self.lake.layout.run_info(self.name), with_sum(info))

    def info(self) -> dict[str, Any]:
        """Return what was known when the run started; empty where it was killed before."""
        path = self.lake.layout.run_info(self.name)
        if not self.lake.store.exists(path):
            return {}
        return read_with_sum(self.lake.store.get(path), path)

    def summary(self) -> dict[str, Any] | None:
        """Return how the run ended, or None while it runs or where it was killed."""
        path = self.lake.layout.run_snapshot(self.name)
        if not self.lake.store.exists(path):
            return None
        return read_with_sum(self.lake.store.get(path), path)

    def _events_folder(self) -> str:
        return self.lake.layout.run_events(self.name, 0).rpartition("/")[0]

    def _sealed_shard(self, shard: int) -> str:
        return f"plan/{self.name}/{shard:05d}"


class EventRecord:
    """An append-only file of one driver's events, one JSON object a line; several threads may add."""

    def __init__(self, lake: Lake, path: str) -> None:
        absolute = lake.store.absolute(path)
        self._where = path
        self._lock = threading.Lock()
        with storage_faults(path):
            ensure_folder(absolute.parent)
            self._file: IO[str] = absolute.open("a", encoding="utf-8")

    def add(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Append an event with the time of day; it reaches the file at once."""
        line = line_with_sum({"at": now(), "event": kind, **facts})
        with self._lock, storage_faults(self._where):
            self._file.write(line)
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Make the record durable and close it."""
        with storage_faults(self._where):
            os.fsync(self._file.fileno())
            self._file.close()


def new_run_name(lake: Lake) -> str:
    """Return an id for a new run: UTC time of its start and a few random digits.

    It sorts after every run before it, also where the clock went back: the latest run is told by it.
    """
    stamp = datetime.now(UTC)
    for name in run_names(lake)[-1:]:
        with suppress(ValueError):  # not named by this function
            last = datetime.strptime(name.partition("-")[0], _STAMP).replace(tzinfo=UTC)
            stamp = max(stamp, last + timedelta(milliseconds=1))
    return stamp.strftime(_STAMP)[:-3] + "-" + secrets.token_hex(2)


def run_names(lake: Lake) -> list[str]:
    """Return the ids of all runs, oldest first."""
    folder = lake.store.absolute(lake.layout.runs())
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def latest_run(lake: Lake) -> Run:
    """Return the newest run.

    Raises
    ------
    LakeError
        If nothing ever ran.
    """
    names = run_names(lake)
    if not names:
        raise LakeError("nothing has run in this lake yet: medpipe run ARCHIVE --lake LAKE -r RECIPE")
    return Run(lake, names[-1])


def run_before(lake: Lake, recipe: str, before: str | None = None) -> Run | None:
    """Return the newest run of a recipe, or the newest before a run of that id; None where there is none."""
    names = (name for name in reversed(run_names(lake)) if before is None or name < before)
    return next((run for run in (Run(lake, name) for name in names) if run.info().get("recipe") == recipe), None)


def now() -> str:
    """Return the time of day in UTC, ISO 8601 to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
