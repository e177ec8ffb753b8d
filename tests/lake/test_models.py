"""Models in a lake: which of a name is the latest."""

from __future__ import annotations

import shutil

from medpipe.keys import bytes_digest, digest
from medpipe.lake.layout import LAYOUT
from medpipe.lake.models import lake_models, put_model, take_model_back
from tests.lake.test_fits import damaged


def package(content):
    files = {"model.bin": content}
    return digest({name: bytes_digest(data) for name, data in files.items()}), files


def test_the_latest_of_a_name_is_the_one_put_last(lake):
    first, second = package(b"1"), package(b"2")
    for one in (first, first, second, first):
        put_model(lake, *one, name="net")
    put_model(lake, *second, name=None)
    assert sorted((order, found) for _, found, order in lake_models(lake)) == [
        (1, first[0]),
        (2, second[0]),
        (3, first[0]),
    ]


def test_of_two_models_at_once_the_one_that_came_second_is_the_latest(lake, monkeypatch):
    first, second = package(b"1"), package(b"2")
    put = lake.store.put_if_absent
    others = [LAYOUT.model_entry("net", 1)]

    def put_if_absent(path, data):
        if path in others:
            others.remove(path)
            put_model(lake, *first, name="net")
        return put(path, data)

    monkeypatch.setattr(lake.store, "put_if_absent", put_if_absent)
    put_model(lake, *second, name="net")
    assert {(order, found) for _, found, order in lake_models(lake)} == {(1, first[0]), (2, second[0])}


def test_a_name_that_is_taken_back_means_nothing_but_by_digest_and_may_come_again(lake):
    first, second = package(b"1"), package(b"2")
    assert not take_model_back(lake, "net")
    for one in (first, second):
        put_model(lake, *one, name="net")
    assert take_model_back(lake, "net")
    assert not take_model_back(lake, "net")
    assert lake_models(lake) == sorted(("net", one[0], 0) for one in (first, second))
    assert damaged(lake) == []
    put_model(lake, *second, name="net")
    assert max(lake_models(lake), key=lambda entry: entry[2]) == ("net", second[0], 4)
    # what no name means and no run has may be removed: the entry that named it is no damage
    shutil.rmtree(lake.store.absolute(LAYOUT.model(first[0])))
    assert first[0] not in {found for _, found, _ in lake_models(lake)}
    assert damaged(lake) == []
    shutil.rmtree(lake.store.absolute(LAYOUT.model(second[0])))
    assert damaged(lake) == [LAYOUT.model_entry("net", 4)]
