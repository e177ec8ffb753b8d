"""The folders of runs, file by file, each held against its sum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from medpipe.errors import IntegrityError
from medpipe.keys import bytes_digest
from medpipe.lake.audit_moving import listed
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.runs import run_names
from medpipe.lake.sums import is_whole_line, read_text_with_sum, read_with_sum

_SHARD, _SHARD_SUM = ".parquet", ".sha256"


def run_checks(lake: Lake) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield a check for every file of every run."""
    for run in run_names(lake):
        whole: dict[str, Callable[[bytes, str], object]] = {
            LAYOUT.run_recipe(run): read_text_with_sum,
            LAYOUT.run_info(run): read_with_sum,
            LAYOUT.run_snapshot(run): read_with_sum,
        }
        for path in lake.store.list(LAYOUT.run(run)):
            if path in whole:
                yield listed(lake, path, partial(_check, lake, path, whole[path]))
            elif path.endswith(".jsonl"):
                yield listed(lake, path, partial(_check, lake, path, _check_events))
            elif path.endswith(_SHARD):
                yield listed(lake, path, partial(_check_shard, lake, path))


def _check(lake: Lake, path: str, read: Callable[[bytes, str], object]) -> None:
    read(lake.store.get(path), path)


def _check_shard(lake: Lake, path: str) -> None:
    named = path.removesuffix(_SHARD) + _SHARD_SUM
    found = f"{bytes_digest(lake.store.get(path))}\n".encode()
    if not lake.store.exists(named) or lake.store.get(named) != found:
        raise IntegrityError(
            f"{path}: it differs from its sum in {named}; gc removes both once the run is not the last"
        )


def _check_events(data: bytes, path: str) -> None:
    """Check every line; the last one may be torn by a kill, or end in zeros after a loss of power."""
    lines = data.rstrip(b"\0").splitlines(keepends=True)
    torn = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
    # a line that is whole but for its end was not torn there: neither leaves another byte in its place
    if not all(map(is_whole_line, lines)) or is_whole_line(torn[:-1] + b"\n"):
        raise IntegrityError(f"{path}: an event was altered; nothing depends on it but what status tells of that run")
