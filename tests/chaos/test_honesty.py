"""A safeguard that is removed is missed: otherwise the benches of this folder would prove nothing."""

from __future__ import annotations

import pytest

from tests.chaos.honesty import SAFEGUARDS, Safeguard
from tests.chaos.strikes import Bench

QUICK = {"no_sync_of_names", "no_digest_compare", "no_seal_check", "no_fencing"}

PARAMS = [
    pytest.param(safeguard, id=safeguard.mutation, marks=() if safeguard.mutation in QUICK else pytest.mark.slow)
    for safeguard in SAFEGUARDS
]


@pytest.mark.parametrize("safeguard", PARAMS)
def test_the_bench_fails_without(bench: Bench, safeguard: Safeguard):
    found = {finding.kind for finding in safeguard.found(bench, removed=True)}
    assert found & safeguard.kinds


@pytest.mark.slow
@pytest.mark.parametrize("safeguard", PARAMS)
def test_the_bench_finds_nothing_with(bench: Bench, safeguard: Safeguard):
    assert safeguard.found(bench, removed=False) == []
