"""One arena and the processes that fork, for all benches of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.app.runs import wait_for_quiet
from tests.chaos.arena import Arena
from tests.chaos.strikes import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return a bench over a small archive; when it ends, none of its processes is left."""
    arena = Arena.make(tmp_path_factory.mktemp("chaos") / "arena", series=4)
    with Bench(arena) as bench:
        bench.forked(arena.prepare)
        yield bench
    wait_for_quiet(arena.home)
