"""A run may be killed at any instant, and the same command ends with the same bytes."""

from __future__ import annotations

import pytest

from tests.chaos.strikes import Bench, Tally, first_trials, operation_trials, point_trials, random_kills

EVERY = 40
"""Of so many operations on the disk one is struck in the quick test."""


def assert_nothing_found(tally: Tally) -> None:
    assert tally.kills > 0
    assert tally.findings == []


def test_a_kill_at_each_named_point_costs_no_byte(bench: Bench):
    trials = first_trials(bench)
    tally = bench.run(trials)
    assert_nothing_found(tally)
    assert tally.kills == len(trials)


@pytest.mark.slow
def test_a_kill_at_any_hit_of_a_point_costs_no_byte(bench: Bench):
    trials = point_trials(bench, most=3)
    tally = bench.run(trials)
    assert_nothing_found(tally)
    assert tally.kills == len(trials)


@pytest.mark.slow
def test_a_kill_before_any_operation_on_the_disk_costs_no_byte(bench: Bench):
    assert_nothing_found(bench.run(operation_trials(bench, every=EVERY)))


def test_kills_at_random_instants_cost_no_byte(bench: Bench, pytestconfig: pytest.Config):
    assert_nothing_found(random_kills(bench, kills=pytestconfig.getoption("--kills"), seed=7))
