"""``medpipe scan``: every file gets one row; series become stacks, stacks become volumes.

Only what is new or changed is read again. Headers are parsed in sandboxes, in batches.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.app.archives import check_archives, empty_archive
from medpipe.app.lakes import open_or_create
from medpipe.app.progress import Progress
from medpipe.app.rows import index_rows
from medpipe.app.site import Site
from medpipe.archive.assemble import assemble
from medpipe.archive.companions import companions_for
from medpipe.archive.header import Header
from medpipe.archive.source import FolderSource
from medpipe.contracts.protocols import Item
from medpipe.engine.pool import SandboxPool
from medpipe.engine.replies import Death
from medpipe.engine.sandbox import SandboxSpec
from medpipe.errors import Rejected, StoppedError
from medpipe.keys import digest
from medpipe.lake.index import write_index
from medpipe.lake.lake import Lake
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.privacy.secret import Secret

BATCH = 64
HEADER_S = 20.0
PIXELS_S = 60.0
ADDRESS_BYTES = 8 << 30
"""Address space of a sandbox that parses headers: a bomb ends it, not the host."""


_PASSING = frozenset({"E_UNREADABLE", "E_VANISHED"})
"""Codes that say nothing lasting about a file: it is read again though its version is the same."""


@dataclass(slots=True, kw_only=True)
class ScanReport:
    """What a scan found, over all archives given."""

    files: int = 0
    read: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    refused: int = 0

    def facts(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "files": self.files,
            "read (new or changed)": self.read,
            "outcomes": dict(sorted(self.outcomes.items())),
            "stacks": dict(sorted(self.kinds.items())),
            "refused stacks": self.refused,
        }


def scan_archives(archives: Sequence[Path], root: Path, site: Site, progress: Progress) -> ScanReport:
    """Index archives into a lake, made if it does not exist.

    Raises
    ------
    ConfigError
        If an archive is no folder, holds no file, or overlaps the lake.
    StoppedError
        If an archive cannot be listed, or is empty although it was not before.
    """
    check_archives(archives, root)
    lake, secret = open_or_create(root, site, progress)
    with lake.driver():
        return scan_into(lake, secret, archives, site, progress)


def scan_into(lake: Lake, secret: Secret, archives: Sequence[Path], site: Site, progress: Progress) -> ScanReport:
    """Index archives into an open lake whose driver the caller is."""
    report = ScanReport()
    for archive in archives:
        _Scan(lake, Pseudonyms(secret), archive.resolve(), site, progress, report).run()
    return report


@dataclass(slots=True)
class _Scan:
    """The scan of one archive."""

    lake: Lake
    pseudonyms: Pseudonyms
    root: Path
    site: Site
    progress: Progress
    report: ScanReport
    source: str = ""
    state: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        self.source = self.pseudonyms.key("source", os.fspath(self.root))[:16]
        self.state = self._load_state()
        items = list(FolderSource(self.root).scan())
        self._refuse_empty(items)
        with self._pool() as pool:
            headers = self._headers(items, pool)
            assembly = assemble(headers, lambda path: self._pixels(path, pool))
        companions = companions_for(assembly.stacks, headers)
        rows = index_rows(
            source=self.source,
            items=items,
            headers={header.path: header for header in headers},
            assembly=assembly,
            companions=companions,
            pseudonyms=self.pseudonyms,
            identified=self.lake.privacy == "identified",
        )
        self._save(rows.tables, rows.locators, rows.dates)
        self.report.files += len(items)
        self.report.outcomes.update(row["outcome"] for row in rows.tables["instances"])
        self.report.kinds.update(stack.kind for stack in assembly.stacks)
        self.report.refused += sum(stack.refused for stack in assembly.stacks)

    # what was there before --------------------------------------------------------------------

    def _load_state(self) -> dict[str, Any]:
        name = f"scan/{self.source}"
        if not self.lake.private.exists(name):
            return {"files": {}, "pixels": {}}
        state: dict[str, Any] = json.loads(self.lake.private.get(name))
        return state

    def _refuse_empty(self, items: Sequence[Item]) -> None:
        if items:
            return
        if self.state["files"]:
            raise StoppedError(
                f"archive {self.root} is empty, but held {len(self.state['files'])} files before: "
                "is it mounted? The index was left as it is"
            )
        raise empty_archive(self.root)

    # headers ----------------------------------------------------------------------------------

    def _pool(self) -> SandboxPool:
        spec = SandboxSpec(
            session="medpipe.work.scan_session:open_scan",
            init={"root": os.fspath(self.root), "file_bytes": self.site.limits.file_mb << 20},
            address_space_bytes=ADDRESS_BYTES,
        )
        return SandboxPool(spec, size=self.site.workers or os.cpu_count() or 1)

    def _headers(self, items: Sequence[Item], pool: SandboxPool) -> list[Header]:
        """Return a header per file that may be opened; unchanged files keep theirs."""
        known = {}
        for item in items:
            before = self.state["files"].get(item.path)
            if before is not None and before["version"] == item.version and before.get("code") not in _PASSING:
                known[item.path] = before
        fresh = [item for item in items if item.path not in known and item.problem is None]
        self.progress.stage("scan", len(fresh))
        self.report.read += len(fresh)
        for item, header in self._parsed(fresh, pool):
            known[item.path] = header.to_json()
            self.progress.advance()
        problems = {
            item.path: Header(path=item.path, size=item.size, version=item.version, code=item.problem)
            for item in items
            if item.problem
        }
        self.state["files"] = known
        return [problems[item.path] if item.problem else Header.from_json(known[item.path]) for item in items]

    def _parsed(self, fresh: Sequence[Item], pool: SandboxPool) -> Iterator[tuple[Item, Header]]:
        batches = [fresh[start : start + BATCH] for start in range(0, len(fresh), BATCH)]
        asked = (
            [
                {"token": digest(item.path), "path": item.path, "size": item.size, "version": item.version}
                for item in batch
            ]
            for batch in batches
        )
        results = pool.map_batches("headers", asked, item_s=HEADER_S, subject=lambda item: str(item["token"]))
        for batch, found in zip(batches, results, strict=True):
            for item, result in zip(batch, found, strict=True):
                if isinstance(result, Death):
                    yield item, Header(path=item.path, size=item.size, version=item.version, code=_parsing(result.code))
                else:
                    yield item, Header.from_json(result)

    # pixels, where two files claim to be one ----------------------------------------------------

    def _pixels(self, path: str, pool: SandboxPool) -> str:
        version = self.state["files"][path]["version"]
        before = self.state["pixels"].get(path)
        if before is not None and before[0] == version:
            return str(before[1])
        item = {"token": digest(path), "path": path}
        (result,) = next(
            iter(pool.map_batches("pixels", [[item]], item_s=PIXELS_S, subject=lambda item: str(item["token"])))
        )
        if isinstance(result, Death):
            raise Rejected(result.code)
        if result["code"]:
            raise Rejected(result["code"])
        self.state["pixels"][path] = [version, result["digest"]]
        return str(result["digest"])

    # what is kept -----------------------------------------------------------------------------

    def _save(self, tables: dict[str, list[dict[str, Any]]], locators: dict[str, Any], dates: dict[str, Any]) -> None:
        self.lake.private.put(f"scan/{self.source}", json.dumps(self.state).encode())
        generation = write_index(self.lake, self.source, tables)
        kept = {"root": os.fspath(self.root), "generation": generation, "volumes": locators, "dates": dates}
        self.lake.private.put(f"volumes/{self.source}", json.dumps(kept).encode())


def _parsing(code: str) -> str:
    """Return the code of a header whose parsing ended its process."""
    return "E_HEADER" if code in ("E_CRASH", "E_INTERNAL") else code
