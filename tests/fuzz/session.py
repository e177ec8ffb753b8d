"""The session in which a sandbox does with a mutant all that a run does with a file, and measures it."""

from __future__ import annotations

import ctypes
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from medpipe.archive.alike import Hearer
from medpipe.archive.assemble import assemble
from medpipe.archive.companions import load_companions
from medpipe.archive.header import Header
from medpipe.archive.other.identity import Identity, MaskRule
from medpipe.archive.source import FolderSource
from medpipe.archive.stacks import Stack
from medpipe.archive.voxels import load_volume
from medpipe.errors import Rejected
from medpipe.keys import array_digest
from medpipe.types import Geometry
from medpipe.work.files import Files
from medpipe.work.scan_session import ScanSession

Json = dict[str, Any]
Mark = Callable[[str, str], None]

_IDENTITY = Identity(source="fuzz", rules=[MaskRule("{number}_mask", "{number}")])


def open_fuzz(init: Mapping[str, Any]) -> FuzzSession:
    """Open the session that works below ``init["root"]``."""
    return FuzzSession(FolderSource(init["root"]), file_bytes=init["file_bytes"])


class FuzzSession:
    """Reads, assembles and decodes files of one-file series, one by one."""

    def __init__(self, source: FolderSource, *, file_bytes: int) -> None:
        self._source = source
        self._scan = ScanSession(source, file_bytes=file_bytes)

    def call(self, kind: str, payload: Json, mark: Mark) -> Json:
        """Work through ``payload["items"]``."""
        return {"results": [self._judged(item, mark) for item in payload["items"]]}

    def _judged(self, item: Json, mark: Mark) -> Json:
        with self._source.opened(item["path"]) as file:
            listed = {**item, "version": file.version}
        found = self._file(listed, mark)
        return self._held(listed, found, mark) if found["code"] == "S_ARCHIVE" else found

    def _held(self, item: Json, found: Json, mark: Mark) -> Json:
        """Return what becomes of an archive file and its members; its cost is that of the dearest of what is refused."""
        meter = Meter()
        (listing,) = self._scan.call("members", {"items": [item]}, mark)["results"]
        found = {**found, "code": listing["code"] or found["code"], "members": []}
        costs = [{name: found[name] + cost if name != "above_bytes" else cost for name, cost in meter.read().items()}]
        found["outcome"] = "skipped" if found["code"] == "S_ARCHIVE" else "quarantined"
        for path, size, version, problem in listing["members"]:
            if problem is not None:
                held = {"outcome": "quarantined", "code": problem, "digests": []}
            else:
                held = self._file({"token": item["token"], "path": path, "size": size, "version": version}, mark)
                if held["outcome"] in {"skipped", "quarantined"}:
                    costs.append({name: held[name] for name in costs[0]})
            name = path.removeprefix(f"{item['path']}/")
            found["digests"] += [[name, *one] for one in held["digests"]]
            found["members"].append([held["outcome"], held["code"]])
        return {**found, **{name: max(cost[name] for cost in costs) for name in costs[0]}}

    def _file(self, listed: Json, mark: Mark) -> Json:
        meter = Meter()
        (found,) = self._scan.call("headers", {"items": [listed]}, mark)["results"]
        # as it comes out of a scan's sandbox
        header = _IDENTITY(Hearer(lambda one: one).header(found))
        assembly = assemble([header])
        outcome = assembly.outcomes[header.path]
        result = {"outcome": outcome.outcome, "code": outcome.code, "digests": []}
        files = Files(self._source, {header.path: header.content})
        mark("read", listed["token"])
        for stack in assembly.stacks:
            if not stack.refused:
                self._read(Stack.from_json(json.loads(json.dumps(stack.to_json(), allow_nan=False))), files, result)
        if outcome.outcome in {"used", "catalogued"} and (header.is_segmentation or header.is_structure_set):
            mark("companions", listed["token"])
            self._draw(header, files, result)
        return {**result, **meter.read()}

    @staticmethod
    def _read(stack: Stack, files: Files, result: Json) -> None:
        try:
            volume, quantization = load_volume(stack, files, files.open)
        except (Rejected, MemoryError) as error:
            # as the boundary of a case does
            code = error.code if isinstance(error, Rejected) else "E_OOM"
            result["outcome"], result["code"] = "quarantined", code
            return
        result["digests"].append([array_digest(np.asarray(volume.data)), quantization])

    @staticmethod
    def _draw(header: Header, files: Files, result: Json) -> None:
        placed = replace(files[header.path], labels=header.labels, is_mask=header.is_mask)
        companions = load_companions([(placed, bytes(files.open(header.path)))], _host())
        result["drawn"] = len(companions.regions)
        result["problems"] = list(companions.problems)


def _host() -> Geometry:
    """Return the grid that what is drawn is drawn on: an ordinary one, which no mutant decides."""
    affine = (1.0, 0, 0, -64.0, 0, 1.0, 0, -64.0, 0, 0, 2.0, -40.0, 0, 0, 0, 1.0)
    return Geometry(shape=(40, 128, 128), spacing_mm=(2.0, 1.0, 1.0), affine_lps=affine)


class Meter:
    """Processor time, time by the clock and highest memory from now on."""

    def __init__(self) -> None:
        _trim()
        # the high-water mark starts anew
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._before_bytes = _status("VmRSS")
        self._cpu_s, self._wall_s = time.process_time(), time.perf_counter()

    def read(self) -> Json:
        """Return ``cpu_s``, ``wall_s`` and ``above_bytes``."""
        return {
            "cpu_s": time.process_time() - self._cpu_s,
            "wall_s": time.perf_counter() - self._wall_s,
            "above_bytes": max(0, _status("VmHWM") - self._before_bytes),
        }


def _status(name: str) -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def _trim() -> None:
    ctypes.CDLL(None).malloc_trim(0)
