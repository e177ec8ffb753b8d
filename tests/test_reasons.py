"""The closed list of reasons."""

from __future__ import annotations

from itertools import combinations

from medpipe.reasons import REASONS
from medpipe.reasons.cases import RUNNING
from medpipe.reasons.files import SCANNING
from medpipe.reasons.volumes import ASSEMBLING


def test_every_code_stands_in_the_table_of_one_stage():
    tables = (SCANNING, ASSEMBLING, RUNNING)
    for one, other in combinations(tables, 2):
        assert one.keys().isdisjoint(other)
    assert list(REASONS) == [code for table in tables for code in table]
