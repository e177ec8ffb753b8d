"""Two who work on one lake do no harm, and readers see whole tables."""

from __future__ import annotations

import pytest

from tests.chaos.arena import AGAIN
from tests.chaos.judge import after_kill
from tests.chaos.rivals import asleep, read_while_published, second_driver, zombie
from tests.chaos.strikes import Bench

SLEPT_AT = ("volume.", "publish.", "put.", "segment.", "scan.", "results.", "snapshot.", "tables.")
"""Where a writer or a driver without its lock may sleep; between a pointer's file and its name nothing can be asked."""


def test_a_second_driver_is_refused_until_the_first_is_gone(bench: Bench):
    assert second_driver(bench, "segment.after_seal:1") == []


def test_whoever_is_refused_says_so_in_one_line(bench: Bench):
    lake = bench.arena.new("refused")

    def second(forks):
        with asleep(bench, forks, lake, "segment.before_seal:1"):
            before = len(bench.arena.said())
            code = forks.run(bench.arena.job(lake))
            return code, bench.arena.said()[before:]

    code, said = bench.forked(second)
    assert code == 4
    assert said.strip().splitlines()[-1].startswith("medpipe: another run is working on this lake (pid ")


@pytest.mark.parametrize("failpoint", ["publish.before_rename:2", "segment.before_seal:1"])
def test_a_writer_that_wakes_after_its_run_was_taken_over_changes_nothing(bench: Bench, failpoint):
    assert zombie(bench, failpoint) == []


@pytest.mark.slow
def test_a_zombie_changes_nothing_wherever_it_slept(bench: Bench):
    points = {point: hits for point, hits in bench.points(AGAIN).items() if point.startswith(SLEPT_AT)}
    assert len(points) > 6
    found = {point: zombie(bench, f"{point}:{nth}") for point, hits in points.items() for nth in {1, hits}}
    assert {point: findings for point, findings in found.items() if findings} == {}


def test_readers_never_see_a_half_swapped_set_of_tables(bench: Bench):
    reader = read_while_published(bench, times=8)
    assert reader.findings == []
    assert len(reader.seen) > 2
    assert reader.reads > 8


@pytest.mark.slow
def test_a_lake_on_a_slow_disk_ends_the_same_and_is_whole_all_the_time(bench: Bench):
    lake = bench.arena.new("slow")
    code = bench.forked(lambda forks: forks.run(bench.arena.job(lake, "tests.chaos.disk:slow", pause_s=0.02)))
    assert code == 2
    assert after_kill(lake) == []
