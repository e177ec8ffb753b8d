"""Models in a lake: which of a name is the latest."""

from __future__ import annotations

from medpipe.keys import bytes_digest, digest
from medpipe.lake.layout import LAYOUT
from medpipe.lake.models import lake_models, put_model


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
