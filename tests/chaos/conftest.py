"""One arena and the processes that fork, for all benches of a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.runs import wait_for_quiet
from tests.chaos.arena import Arena
from tests.chaos.strikes import Bench

MANY = 100
"""Kills from which on the long part runs too."""

LONG_S = 3600
"""What a test of the long part may take on a crowded machine."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long part to ``make chaos``, where nothing is in a hurry."""
    is_long = config.getoption("--kills") >= MANY
    for item in items:
        if item.path.parent != Path(__file__).parent:
            continue
        if is_long:
            item.add_marker(pytest.mark.timeout(LONG_S), append=False)
        elif item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason=f"the long part: with --kills {MANY} and above (make chaos)"))


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return a bench over a small archive; when it ends, none of its processes is left."""
    arena = Arena.make(tmp_path_factory.mktemp("chaos") / "arena", series=4)
    with Bench(arena) as bench:
        bench.forked(arena.prepare)
        yield bench
    wait_for_quiet(arena.home)
