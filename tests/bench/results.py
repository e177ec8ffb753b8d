"""The index of results at the scale of an archive: absorbing, opening and loading, with peak memory.

``python -m tests.bench.results [CASES] [VALUES] [PER_SEGMENT]`` seals that many results (a
million of 130 values each, 128 to a segment), then measures each step in a process of its own.
A sample of what is loaded is held against the segments. Not part of ``make bench``: it takes
minutes and gigabytes of disk.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.contracts.records import CaseRecord, CaseResult, ProductRecord
from medpipe.engine.boundary import peak_bytes
from medpipe.keys import bytes_digest, digest
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.results import Results, stored_listing
from medpipe.lake.segments import encode_segment, list_segments, read_segment
from medpipe.privacy.secret import Secret
from medpipe.ranges import Range, all_ranges, bits_for
from tests.bench.machine import describe, machine

SAMPLE = 16
SHARE_CHANGED = 0.01


def main(cases: int = 1_000_000, values: int = 130, per_segment: int = 128) -> None:
    """Print the figures."""
    for line in describe(machine()):
        print(line)
    with tempfile.TemporaryDirectory(prefix="results-bench-") as folder:
        root = Path(folder, "lake")
        Lake.create(root, privacy="pseudonymized", secret=Secret(bytes(32)))
        _tell("import and open an empty lake", root, _nothing)
        _tell(f"seal {cases} results", root, _seal, 0, cases, values, per_segment)
        _tell("absorb all", root, _absorb, items=cases)
        _tell("open", root, _open)
        _tell("absorb nothing", root, _absorb)
        _tell(f"load {SAMPLE} ranges of about 1,024 cases", root, _load, bits_for(cases))
        _tell("  the same held against all segments", root, _compare, bits_for(cases))
        changed = int(cases * SHARE_CHANGED)
        _tell(f"seal {changed} more", root, _seal, cases, changed, values, per_segment)
        _tell("read one range with these uncovered", root, _read_one, bits_for(cases))
        _tell("absorb them", root, _absorb, items=changed)
        _tell("load all ranges", root, _load_all, bits_for(cases), items=cases + changed)
        _tell("list a tenth as many volumes", root, _list, cases // 10)


def _tell(what: str, root: Path, step: Callable[..., Any], *facts: int, items: int = 0) -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_measured, args=(sender, root, step, facts))
    child.start()
    wall_s, cpu_s, peak_bytes, said = receiver.recv()
    child.join()
    each = f", {cpu_s / items * 1e6:.0f} us of CPU each" if items else ""
    print(f"{what}: {wall_s:.2f} s, CPU {cpu_s:.2f} s{each}, peak {peak_bytes / 2**20:.0f} MiB; {said}", flush=True)


def _measured(sender: Any, root: Path, step: Callable[..., Any], facts: tuple[int, ...]) -> None:
    start_s, cpu_start_s = time.perf_counter(), time.process_time()
    said = step(Lake.open(root), *facts)
    wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_start_s
    sender.send((wall_s, cpu_s, peak_bytes(), said))


def _nothing(lake: Lake) -> str:
    return repr(lake.privacy)


def _seal(lake: Lake, first: int, cases: int, values: int, per_segment: int) -> str:
    """Write segments as a writer would, without its fsyncs, from a template: sealing is not what is measured."""
    drawn = np.random.default_rng(first)
    written = 0
    for number, start in enumerate(range(first, first + cases, per_segment)):
        results = [
            _result(case, drawn.random(values)) for case in range(start, min(start + per_segment, first + cases))
        ]
        data = encode_segment(results)
        name = LAYOUT.segment(f"run-{first}", f"w{number % 8}", number, len(results), bytes_digest(data)[:32])
        path = lake.store.absolute(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        written += len(data)
    return f"{written / cases:.0f} bytes each"


def _result(number: int, values: np.ndarray) -> CaseResult:
    row = {f"feature_{place}": value for place, value in enumerate(values.tolist())}
    product = ProductRecord(key=digest(["product", number]), kind="features", rows=({"region": "body", **row},))
    case = CaseRecord(
        case_key=digest(["case", number]),
        volume_key=_volume_key(number),
        route="ct",
        status="done",
        stage="done",
        content_digest=digest(["content", number]),
        source_version=digest(["version", number]),
        products=(product.key,),
    )
    return CaseResult(case=case, products=(product,))


def _volume_key(number: int) -> str:
    return digest(["volume", number])[:32]


def _open(lake: Lake) -> str:
    return f"{Results.open(lake).n_cases} results"


def _absorb(lake: Lake) -> str:
    # open() alone would make a missing index, so that both are measured together
    known = Results.open(lake)
    return f"{known.absorb()} new segments of {len(list_segments(lake))}, {_pieces(lake)} pieces"


def _pieces(lake: Lake) -> int:
    return sum(1 for _ in lake.store.list("index/results/pieces"))


def _load(lake: Lake, bits: int) -> str:
    results = Results.open(lake)
    spent_s, cases = [], 0
    for number in _sample(bits):
        start_s = time.perf_counter()
        cases += len(results.load(Range(bits, number)))
        spent_s.append(time.perf_counter() - start_s)
    return (
        f"{cases / len(spent_s):.0f} cases a range, {max(spent_s):.3f} s the slowest, {min(spent_s):.3f} s the quickest"
    )


def _load_all(lake: Lake, bits: int) -> str:
    results = Results.open(lake)
    spent_s, cases = [], 0
    for wanted in all_ranges(bits):
        start_s = time.perf_counter()
        cases += len(results.load(wanted))
        results.digest_of(wanted)
        spent_s.append(time.perf_counter() - start_s)
    return f"{cases} cases, {max(spent_s):.3f} s the slowest range, {sum(spent_s) / len(spent_s):.3f} s on average"


def _read_one(lake: Lake, bits: int) -> str:
    return f"{len(Results.read(lake).load(Range(bits, 0)))} cases"


def _compare(lake: Lake, bits: int) -> str:
    numbers, wrong = _sample(bits), 0
    expected: dict[int, set[str]] = {number: set() for number in numbers}
    for name in list_segments(lake):
        for result in read_segment(lake, name):
            number = int(result.case.volume_key[:4], 16) >> (16 - bits)
            if number in expected:
                expected[number].add(digest(result.to_json()))
    results = Results.open(lake)
    for number, wanted in expected.items():
        loaded = results.load(Range(bits, number))
        found = {
            digest(CaseResult(case=case, products=tuple(map(loaded.product, case.products))).to_json())
            for case in loaded.cases()
        }
        wrong += len(found ^ wanted)
    return f"{wrong} differences"


def _sample(bits: int) -> list[int]:
    return sorted({place * (1 << bits) // SAMPLE for place in range(SAMPLE)})


def _list(lake: Lake, volumes: int) -> str:
    for number in range(volumes):
        lake.store.absolute(LAYOUT.volume(digest(number))).mkdir(parents=True)
    start_s = time.perf_counter()
    count, found = stored_listing(lake)
    return f"{count} names in {time.perf_counter() - start_s:.2f} s, digest {found[:12]}"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
