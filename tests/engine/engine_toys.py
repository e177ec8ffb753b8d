"""A session and a sink that do, on demand, what subjects and disks do to a run."""

from __future__ import annotations

import ctypes
import errno
import importlib
import json
import os
import signal
import sys
import time
import uuid
from pathlib import Path

import numpy as np

from medpipe.contracts.records import CaseRecord, CaseResult, ProductRecord
from medpipe.errors import ConfigError, IntegrityError, Rejected, StoppedError
from medpipe.keys import digest

PanicException = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})
CUDARuntimeError = type("CUDARuntimeError", (RuntimeError,), {"__module__": "cupy_backends.cuda.api.runtime"})
OutOfMemoryError = type("OutOfMemoryError", (MemoryError,), {"__module__": "cupy.cuda.memory"})


def illegal_address():
    """Return what CuPy raises in every call of a process whose context is dead."""
    error = CUDARuntimeError(f"an illegal memory access near {SECRET}")
    error.status = 700
    return error


SECRET = "canary-7f1c"


def open_session(init):
    if init.get("broken"):
        raise ConfigError("the model is missing")
    if init.get("crash_on_open"):
        os.abort()
    return ToySession(init)


class ToySession:
    def __init__(self, init):
        self.init = init
        self.calls = 0
        self.has_lost_device = False

    def call(self, kind, payload, mark):
        self.calls += 1
        return getattr(self, f"on_{kind}")(payload, mark)

    def on_ok(self, payload, mark):
        mark("read", payload.get("subject", ""))
        return {"echo": payload, "calls": self.calls, "pid": os.getpid()}

    def on_about(self, payload, mark):
        return {
            "modules": sorted({name.partition(".")[0] for name in sys.modules}),
            "argv": sys.orig_argv,
            "environment": dict(os.environ),
            "core_limit": __import__("resource").getrlimit(__import__("resource").RLIMIT_CORE),
            "secret": self.init.get("secret"),
        }

    def on_reject(self, payload, mark):
        mark("read", "subject")
        raise Rejected("E_GAP")

    def on_unknown_code(self, payload, mark):
        raise Rejected("E_NO_SUCH_CODE")

    def on_raise(self, payload, mark):
        raise ValueError(f"patient {SECRET}")

    def on_panic(self, payload, mark):
        raise PanicException(f"called unwrap on {SECRET}")

    def on_recurse(self, payload, mark):
        return self.on_recurse(payload, mark)

    def on_memory_error(self, payload, mark):
        raise MemoryError

    def on_nan(self, payload, mark):
        return {"value": float("nan")}

    def on_stop(self, payload, mark):
        raise StoppedError("the archive is gone")

    def on_integrity(self, payload, mark):
        raise IntegrityError("an object is not what its key says")

    def on_disk_full(self, payload, mark):
        raise OSError(errno.ENOSPC, f"no space for {SECRET}")

    def on_segfault(self, payload, mark):
        mark("read", "the guilty")
        ctypes.string_at(0)

    def on_abort(self, payload, mark):
        mark("image", "the guilty")
        os.abort()

    def on_exit(self, payload, mark):
        raise SystemExit(0)

    def on_sleep(self, payload, mark):
        mark("features", "the slow")
        time.sleep(payload.get("s", 3600))
        return {}

    def on_hold_gil(self, payload, mark):
        mark("features", "the slow")
        ctypes.PyDLL(None).sleep(3600)

    def on_eat(self, payload, mark):
        mark("image", "the large")
        eaten = []
        while True:
            eaten.append(np.ones(1_000_000))
            time.sleep(0.01)

    def on_keep(self, payload, mark):
        self.kept = np.ones(payload["bytes"] // 8)
        return {"pid": os.getpid()}

    def on_take(self, payload, mark):
        taken = np.ones(payload["bytes"] // 8)
        return {"sum": float(taken.sum())}

    def on_import(self, payload, mark):
        was_there = payload["module"] in sys.modules
        importlib.import_module(payload["module"])
        return {"was_there": was_there}

    def on_overrun(self, payload, mark):
        """Write beyond a piece of memory, as a decoder may, and get away with it."""
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        self.pieces = [libc.malloc(2008) for _ in range(64)]
        neighbours = [(one, two) for one, two in zip(self.pieces, self.pieces[1:], strict=False) if two - one == 2016]
        for one, _ in neighbours[:8]:
            ctypes.memset(one, 0x41, 2016)
        return {"overrun": len(neighbours[:8])}

    def on_free(self, payload, mark):
        """Free memory: nothing wrong with that."""
        libc = ctypes.CDLL(None)
        libc.free.argtypes = [ctypes.c_void_p]
        for piece in getattr(self, "pieces", ()):
            libc.free(piece)
        return {}

    def on_flood(self, payload, mark):
        for descriptor in (1, 2):
            os.write(descriptor, b"x" * 5_000_000)
        print("y" * 1_000_000, flush=True)
        return {"done": True}

    def on_grandchild(self, payload, mark):
        pid = os.fork()
        if pid == 0:
            time.sleep(3600)
        Path(payload["file"]).write_text(str(pid))
        ctypes.PyDLL(None).sleep(3600)

    def on_headers(self, payload, mark):
        results = []
        for item in payload["items"]:
            mark("scan", item)
            word, _, argument = item.partition(" ")
            if item.startswith("crash") and (word != "crash_once" or _first_time(argument)):
                os.kill(os.getpid(), signal.SIGSEGV)
            if item.startswith("hang"):
                time.sleep(3600)
            if item.startswith("raise"):
                raise ValueError(SECRET)
            results.append(item.upper())
        return {"results": results}

    def on_unmarked(self, payload, mark):
        if "crash" in payload["items"]:
            os.abort()
        return {"results": payload["items"]}

    def on_case(self, payload, mark):
        """Row n of shard k does what the n-th word of ``init["script"]`` says."""
        word, _, argument = self.init["script"][payload["row"]].partition(" ")
        mark("read", f"v{payload['row']}")
        trace = self.init.get("trace")
        if trace:
            with Path(trace).open("a") as file:
                file.write(f"{payload['row']}\n")
        if word == "crash_once" and _first_time(argument):
            os.abort()
        if word == "killed_once" and _first_time(argument):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.has_lost_device or word == "lose_device":
            self.has_lost_device = True
            raise illegal_address()
        self.has_lost_device = word == "spoil_device"
        if word == "full_device":
            raise OutOfMemoryError(SECRET)
        if word == "sleep":
            time.sleep(float(argument))
        elif word not in {"ok", "crash_once", "killed_once", "spoil_device"}:
            getattr(self, f"on_{word}")({}, mark)
        return case_result(payload["row"]).to_json()


def _first_time(flag):
    path = Path(flag)
    first = not path.exists()
    path.touch()
    return first


def case_result(row):
    product = ProductRecord(key=digest(["features", row]), kind="features", rows=({"value": row * 0.5},))
    case = CaseRecord(
        case_key=f"case-{row}",
        volume_key=f"volume-{row}",
        route="ct",
        status="done",
        stage="done",
        content_digest=digest(row),
        source_version=f"version-{row}",
        numeric_class="",
        products=(product.key,),
    )
    return CaseResult(case=case, products=(product,))


def open_sink(init):
    return FolderSink(Path(init["folder"]), init.get("full_after"))


class FolderSink:
    """Writes one file of results per flush; a result counts once its file is there."""

    def __init__(self, folder, full_after):
        self.folder = folder
        self.full_after = full_after
        self.held = []
        self.added = 0

    def add(self, result):
        self.added += 1
        if self.full_after is not None and self.added > self.full_after:
            raise OSError(errno.ENOSPC, "full")
        self.held.append(result.to_json())

    def flush(self):
        if self.held:
            aside = self.folder / f"{uuid.uuid4().hex}.aside"
            aside.write_text(json.dumps(self.held))
            aside.rename(aside.with_suffix(".json"))
            self.held = []

    def close(self):
        self.flush()


def sealed_cases(folder):
    """Return the case records of all sealed files."""
    return [
        CaseRecord.from_json(result["case"])
        for path in sorted(Path(folder).glob("*.json"))
        for result in json.loads(path.read_text())
    ]
