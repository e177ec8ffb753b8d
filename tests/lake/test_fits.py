from __future__ import annotations

import pytest

from medpipe.errors import IntegrityError
from medpipe.keys import digest
from medpipe.lake.audit import audits
from medpipe.lake.fits import lake_fits, put_fit, read_fit
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT


@pytest.fixture
def lake(tmp_path, secret):
    return Lake.create(tmp_path / "lake", privacy="pseudonymized", secret=secret)


def damaged(lake):
    found = []
    for audit in audits(lake, is_keyed=True):
        for what, check in audit.checks():
            try:
                check()
            except IntegrityError:
                found.append(what)
    return found


def test_a_fit_is_kept_under_the_digest_of_its_value(lake):
    value = {"values": [1.0, 2.5], "kind": "nyul"}
    assert put_fit(lake, value, name="t1")
    assert not put_fit(lake, value, name="t1")
    assert read_fit(lake, digest(value)) == value
    assert lake_fits(lake) == [("t1", digest(value), 1)]


def test_the_latest_of_a_name_is_the_one_put_last(lake):
    first, second = {"values": [1.0]}, {"values": [2.0]}
    for value in (first, second, first):
        assert put_fit(lake, value, name="t1")
    assert [entry[2] for entry in sorted(lake_fits(lake), key=lambda entry: entry[2])] == [1, 2, 3]
    assert max(lake_fits(lake), key=lambda entry: entry[2])[1] == digest(first)


def test_of_two_fits_at_once_the_one_that_came_second_is_the_latest(lake, monkeypatch):
    first, second = {"values": [1.0]}, {"values": [2.0]}
    put = lake.store.put_if_absent
    others = [LAYOUT.fit_entry("t1", 1)]

    def put_if_absent(path, data):
        if path in others:
            others.remove(path)
            put_fit(lake, first, name="t1")
        return put(path, data)

    monkeypatch.setattr(lake.store, "put_if_absent", put_if_absent)
    assert put_fit(lake, second, name="t1")
    assert {(order, found) for _, found, order in lake_fits(lake)} == {(1, digest(first)), (2, digest(second))}


def test_altered_fits_and_names_are_found(lake):
    value = {"values": [1.0]}
    put_fit(lake, value, name="t1")
    assert damaged(lake) == []
    fit, entry = LAYOUT.fit(digest(value)), LAYOUT.fit_entry("t1", 1)
    before = lake.store.get(fit)
    lake.store.absolute(fit).write_bytes(before.replace(b"1.0", b"1.5"))
    assert damaged(lake) == [fit]
    with pytest.raises(IntegrityError, match="missing or altered"):
        read_fit(lake, digest(value))
    lake.store.absolute(fit).unlink()
    assert damaged(lake) == [entry]
