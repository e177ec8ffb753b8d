"""What is made of slices that are known to be alike: the same as if nothing were known."""

from __future__ import annotations

import pytest

from medpipe.app.rows import Naming, index_rows, rows_of
from medpipe.archive.alike import alike
from medpipe.archive.assemble import assemble
from medpipe.archive.duplicates import Looks
from medpipe.archive.header import read_header
from medpipe.archive.pixels import pixel_digest
from medpipe.keys import bytes_digest
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.privacy.secret import Secret
from tests.faults.classes import FAULTS, clean
from tests.faults.verdicts import Planted

NAMING = Naming(source="0" * 16, pseudonyms=Pseudonyms(Secret(bytes(32))), identified=True)
SEED = 11


@pytest.mark.parametrize("number", [0, *(pytest.param(number, marks=pytest.mark.long) for number in range(1, 4))])
def test_series_with_and_without_faults_make_the_same_stacks_and_rows(number):
    for name in sorted(FAULTS)[number::4]:
        assert_same(FAULTS[name].instance(number, SEED))
    for sound in range(3):
        assert_same(clean(4 * sound + number, SEED))


def assert_same(planted: Planted) -> None:
    files = planted.files
    headers = [read_header(data, path=path, size=len(data), version="1-2-3") for path, data in files.items()]
    known = [alike(header) for header in headers]
    looks = Looks(lambda path: bytes_digest(files[path]), lambda path: pixel_digest(files[path]))
    one, other = assemble(headers, looks), assemble(known, looks)
    assert other.stacks == one.stacks
    assert other.outcomes == one.outcomes
    plain, found = index_rows(NAMING, headers, one), index_rows(NAMING, known, other)
    assert {name: list(rows_of(rows)) for name, rows in found.tables.items()} == {
        name: list(rows_of(rows)) for name, rows in plain.tables.items()
    }
    assert (found.locators, found.dates) == (plain.locators, plain.dates)
