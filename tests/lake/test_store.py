import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medpipe.contracts.protocols import Store
from medpipe.errors import LakeError, SecurityError
from medpipe.lake import durable
from medpipe.lake.store import LocalStore


@pytest.fixture
def store(tmp_path) -> LocalStore:
    return LocalStore(tmp_path)


def leftovers(store) -> list[str]:
    return [path for path in store.list("tmp") if not path.endswith("rename.lock")]


def test_a_local_store_keeps_the_protocol(store):
    kept: Store = store
    assert kept.put_if_absent("objects/a/b", b"1")
    assert kept.get("objects/a/b") == b"1"
    assert kept.exists("objects/a/b")
    assert kept.exists("objects/a")
    assert not kept.exists("objects/c")
    kept.swap_pointer("objects/p", b"2")
    kept.swap_pointer("objects/p", b"3")
    assert kept.get("objects/p") == b"3"
    assert list(kept.list("objects")) == ["objects/a/b", "objects/p"]
    assert list(kept.list("nothing")) == []
    with pytest.raises(FileNotFoundError):
        kept.get("objects/c")


def test_the_first_put_stands(store):
    assert store.put_if_absent("a", b"first")
    assert not store.put_if_absent("a", b"second")
    assert store.get("a") == b"first"
    assert leftovers(store) == []


def _put(arguments):
    store, number = arguments
    return store.put_if_absent("objects/one", bytes([number]) * 1000), number


def test_one_of_many_processes_wins_a_put(store):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        won = [number for first, number in pool.map(_put, [(store, number) for number in range(12)]) if first]
    assert len(won) == 1
    assert store.get("objects/one") == bytes(won) * 1000
    assert leftovers(store) == []


def _tree(attempt, text):
    (attempt / "sub").mkdir(parents=True)
    (attempt / "sub" / "file").write_text(text)


def _publish(store, text):
    with store.attempt("tree") as attempt:
        _tree(attempt, text)
        return store.publish_tree(attempt, "objects/tree")


@pytest.mark.parametrize("by_kernel", [True, False], ids=["renameat2", "lock file"])
class TestPublishTree:
    @pytest.fixture(autouse=True)
    def _way(self, by_kernel, monkeypatch):
        if by_kernel and durable._renameat2() is None:
            pytest.skip("renameat2 is Linux only")
        if not by_kernel:
            monkeypatch.setattr(durable, "_renameat2", lambda: None)

    def test_one_of_many_wins_and_is_whole(self, store):
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda number: _publish(store, str(number)), range(16)))
        assert sum(won) == 1
        assert store.get("objects/tree/sub/file") == str(won.index(True)).encode()
        assert leftovers(store) == []

    @pytest.mark.parametrize("content", [(), ("x",)], ids=["empty", "full"])
    def test_a_folder_that_is_there_is_never_replaced(self, store, content):
        target = store.absolute("objects/tree")
        target.mkdir(parents=True)
        for name in content:
            (target / name).touch()
        assert not _publish(store, "new")
        assert sorted(entry.name for entry in target.iterdir()) == list(content)

    def test_nor_a_file_or_a_dangling_link(self, store):
        target = store.absolute("objects/tree")
        target.parent.mkdir(parents=True)
        target.symlink_to("nowhere")
        assert not _publish(store, "new")
        assert target.is_symlink()


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", ".", "a\0b"])
def test_no_path_leads_out_of_the_root(store, path):
    for ask in (store.get, store.exists, lambda one: store.put_if_absent(one, b"")):
        with pytest.raises(SecurityError):
            ask(path)


def test_a_link_is_relative_and_swapped(store, tmp_path):
    for number in range(2):
        store.put_if_absent(f"published/{number}/x", str(number).encode())
        store.swap_link("tables", f"published/{number}")
    assert (tmp_path / "tables").readlink() == Path("published/1")
    assert store.get("tables/x") == b"1"
    assert leftovers(store) == []


@pytest.mark.parametrize("name", ["tables", "tables/own.csv"])
def test_what_stands_in_the_place_of_a_link_is_refused_and_left_alone(store, tmp_path, name):
    store.put_if_absent(name, b"mine")
    with pytest.raises(LakeError, match=r"tables is no link.*remove it"):
        store.swap_link("tables", "published/1")
    assert (tmp_path / name).read_bytes() == b"mine"
    assert leftovers(store) == []


@pytest.fixture
def steps(monkeypatch):
    """Return the list of what is synced (by path) and named, in order, as it happens."""
    found = []
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to name what is synced")
    real_sync, real_link, real_rename = os.fsync, os.link, durable._rename_noreplace

    def sync(descriptor):
        found.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real_sync(descriptor)

    def link(*args, **kwargs):
        found.append("name")
        real_link(*args, **kwargs)

    def rename(source, target):
        found.append("name")
        return real_rename(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(durable, "_rename_noreplace", rename)
    return found


def test_a_file_is_synced_before_it_is_named_and_its_folder_after(store, steps):
    store.put_if_absent("objects/a", b"1")
    named = steps.index("name")
    assert any("/tmp/put." in step for step in steps[:named])
    assert steps[named + 1 :] == [str(store.absolute("objects"))]


def test_a_folder_is_synced_whole_before_it_is_published_and_its_parent_after(store, steps):
    _publish(store, "x")
    named = steps.index("name")
    endings = [step.partition("/tmp/tree.")[2].partition("/")[2] for step in steps[:named] if "/tmp/tree." in step]
    assert endings == ["sub/file", "sub", ""]
    assert steps[named + 1 :] == [str(store.absolute("objects"))]


def test_without_hard_links_a_put_is_a_rename(store, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert store.put_if_absent("a", b"first")
    assert not store.put_if_absent("a", b"second")
    assert store.get("a") == b"first"
    assert leftovers(store) == []
