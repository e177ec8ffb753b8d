"""What every store must do; to be listed in ``STORES`` is to be tested."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medpipe.contracts.protocols import Store
from medpipe.errors import SecurityError
from medpipe.lake.store import LocalStore

STORES = {"local": LocalStore}

NAMES = st.text("abcdefgh0123456789", min_size=1, max_size=8)
PATHS = st.lists(NAMES, min_size=2, max_size=3).map("/".join)


@pytest.fixture(params=sorted(STORES))
def store(request, tmp_path) -> Store:
    return STORES[request.param](tmp_path / "store")


def test_what_was_put_is_got_and_there(store):
    assert store.put_if_absent("objects/a", b"\x00one") is True
    assert store.get("objects/a") == b"\x00one"
    assert store.exists("objects/a")
    assert store.exists("objects")


def test_what_was_never_put_is_not_there(store):
    assert not store.exists("objects/a")
    with pytest.raises(FileNotFoundError):
        store.get("objects/a")
    assert list(store.list("objects")) == []


def test_the_first_put_stands(store):
    assert store.put_if_absent("objects/a", b"first")
    assert store.put_if_absent("objects/a", b"second") is False
    assert store.get("objects/a") == b"first"


def test_one_of_many_threads_wins_a_put_and_its_bytes_are_whole(store):
    values = [bytes([number]) * 5000 for number in range(16)]
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda value: store.put_if_absent("objects/raced", value), values))
    assert sum(won) == 1
    assert store.get("objects/raced") == values[won.index(True)]


def test_a_pointer_is_replaced_whole(store):
    store.swap_pointer("index/CURRENT", b"one")
    store.swap_pointer("index/CURRENT", b"two, longer")
    assert store.get("index/CURRENT") == b"two, longer"
    assert list(store.list("index")) == ["index/CURRENT"]


@pytest.mark.parametrize("path", ["../out", "/out", "a/../../out"])
def test_no_path_leads_out(store, path):
    with pytest.raises(SecurityError):
        store.put_if_absent(path, b"x")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths=st.sets(PATHS, max_size=6), data=st.binary(max_size=64))
def test_listing_gives_every_object_below_a_prefix_sorted(tmp_path_factory, paths, data):
    for make in STORES.values():
        store = make(tmp_path_factory.mktemp("listed") / "store")
        put = {f"{path}.object" for path in paths}
        for path in put:
            assert store.put_if_absent(path, data)
        for prefix in {path.partition("/")[0] for path in put}:
            assert list(store.list(prefix)) == sorted(path for path in put if path.startswith(f"{prefix}/"))
        assert all(store.get(path) == data for path in put)
