from __future__ import annotations

import sys

import pytest

from medpipe.engine import make_engine
from tests.bench.poison import EXPECTED, Bench, bad_rows

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="segfaults and limits are tried on Linux only"),
]


@pytest.mark.parametrize(
    ("cases", "case_s", "count"), [(120, 0.0, 6), pytest.param(400, 0.02, 40, marks=pytest.mark.long)]
)
def test_bad_inputs_end_as_so_many_rows_and_cost_no_innocent(tmp_path, cases, case_s, count):
    bench = Bench(tmp_path, case_s=case_s, is_spinning=False, forks=True, hang_s=0.5)
    bad = bad_rows(cases, count, seed=3)
    with make_engine(bench.spec) as engine:
        found = bench.run(engine, cases, bad)
    assert set(bad.values()) == set(EXPECTED)
    assert found["rows_missing_or_double"] == found["rows_with_another_code"] == found["innocents_run_twice"] == 0
    assert sum(found["codes"].values()) == count
