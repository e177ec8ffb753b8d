from __future__ import annotations

import gc
import json
import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.archive.encoding import decode_path, encode_path, path_order
from medpipe.archive.source import FolderSource
from medpipe.errors import Rejected, StoppedError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two").write_bytes(b"22")
    (tmp_path / "a").write_bytes(b"1")
    return tmp_path


def code_of(source: FolderSource, path: str) -> str:
    with pytest.raises(Rejected) as caught:
        source.open(path)
    return caught.value.code


def test_every_file_is_listed_once_in_a_stable_order(folder: Path):
    source = FolderSource(folder)
    assert [(item.path, item.size) for item in source.scan()] == [("a", 1), ("b/two", 2)]
    assert list(source.scan()) == list(source.scan())


def test_open_returns_the_bytes(folder: Path):
    assert FolderSource(folder).open("b/two") == b"22"


def test_links_are_listed_and_never_followed(folder: Path):
    (folder / "c").symlink_to("/etc/hostname")
    (folder / "d").symlink_to(folder / "b")
    source = FolderSource(folder)
    assert {item.path: item.problem for item in source.scan()}.items() >= {"c": "E_SYMLINK", "d": "E_SYMLINK"}.items()
    # what is listed so is not opened: it was a file when the scan saw it
    assert code_of(source, "c") == "E_CHANGED"
    assert code_of(source, "d/two") == "E_CHANGED"
    assert code_of(source, "a/two") == "E_CHANGED"


@pytest.mark.timeout(10)
def test_pipes_are_listed_and_opening_one_does_not_wait(folder: Path):
    os.mkfifo(folder / "pipe")
    source = FolderSource(folder)
    assert {item.path: item.problem for item in source.scan()}["pipe"] == "E_SPECIAL_FILE"
    assert code_of(source, "pipe") == "E_CHANGED"


@pytest.mark.parametrize("path", ["../a", "b/../../a", "/etc/hostname", "", "b//two", "./a"])
def test_paths_that_leave_the_root_are_refused(folder: Path, path: str):
    assert code_of(FolderSource(folder), path) in {"E_UNREADABLE", "E_VANISHED"}


def test_a_file_that_is_gone_has_vanished(folder: Path):
    assert code_of(FolderSource(folder), "b/three") == "E_VANISHED"


def test_a_root_that_cannot_be_listed_stops_the_scan(tmp_path: Path):
    with pytest.raises(StoppedError, match="ENOENT"):
        list(FolderSource(tmp_path / "gone").scan())


def test_a_root_that_cannot_be_opened_is_named(tmp_path: Path):
    said = f"archive {tmp_path / 'gone'}: its folder cannot be opened (ENOENT)"
    with pytest.raises(StoppedError, match=re.escape(said)):
        FolderSource(tmp_path / "gone").open("a")


def test_names_that_are_not_utf8_survive_json(tmp_path: Path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9 100%.dcm"
    with open(raw, "wb") as stream:  # noqa: PTH123  # pathlib has no bytes paths
        stream.write(b"x")
    (item,) = FolderSource(tmp_path).scan()
    path = json.loads(json.dumps(item.path))
    path.encode("utf-8")
    assert FolderSource(tmp_path).open(path) == b"x"


NAMES = st.text(st.sampled_from("ab.%\x01é"), min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})


@given(st.sets(st.lists(NAMES, min_size=1, max_size=3).map(tuple), max_size=12))
def test_a_listing_comes_in_the_order_of_its_paths(paths: set[tuple[str, ...]]):
    with tempfile.TemporaryDirectory() as folder:
        for parts in sorted(paths, key=len, reverse=True):
            file = Path(folder, *parts)
            if not any(parent.is_file() for parent in file.parents) and not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"x")
        found = [item.path for item in FolderSource(folder).scan()]
    assert found == sorted(found, key=path_order)
    assert len({path_order(path) for path in found}) == len(found)


@given(st.binary(max_size=40))
def test_path_encoding_is_reversible(raw: bytes):
    assert decode_path(encode_path(raw)) == raw


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux lists what is open")
@pytest.mark.parametrize("stays", [False, True])
def test_nothing_stays_open_that_nobody_uses(folder: Path, stays: bool):
    before = open_descriptors()
    source = FolderSource(folder, stays=stays)
    for path in ("a", "b/two", "b/two", "a"):
        source.open(path)
    for path in ("b/three", "a/b", "b", "../a"):
        with pytest.raises(Rejected):
            source.open(path)
    (folder / "b" / "pipe").mkdir()
    assert code_of(source, "b/pipe") == "E_CHANGED"
    assert open_descriptors() - before == stays
    del source
    gc.collect()
    assert open_descriptors() == before


def test_a_file_is_not_read_after_its_block(folder: Path):
    with FolderSource(folder).opened("b/two") as file:
        assert (file.head(1), file.at(1, 5), file.size, file.is_member) == (b"2", b"2", 2, False)
        place = bytearray(4)
        assert (file.into(memoryview(place)), bytes(place), file.whole()) == (2, b"22\0\0", b"22")
    with (folder / "a").open("rb"), pytest.raises(OSError, match="Bad file descriptor"):
        file.at(0, 1)


def test_what_the_system_refuses_while_a_file_is_read_is_a_code(folder: Path):
    with pytest.raises(Rejected) as caught, FolderSource(folder).opened("a"):
        raise OSError(5, "Input/output error")
    assert caught.value.code == "E_UNREADABLE"
    with pytest.raises(ValueError, match="mine"), FolderSource(folder).opened("a"):
        raise ValueError("mine")


def test_who_stays_in_a_folder_follows_no_link_and_sees_what_is_gone(folder: Path):
    source = FolderSource(folder, stays=True)
    assert source.open("b/two") == b"22"
    (folder / "b" / "three").write_bytes(b"333")
    (folder / "b" / "link").symlink_to("three")
    assert source.open("b/three") == b"333"
    assert code_of(source, "b/link") == "E_CHANGED"
    assert code_of(source, "b/../a") == "E_UNREADABLE"
    (folder / "b" / "two").unlink()
    assert code_of(source, "b/two") == "E_VANISHED"
    assert source.open("b/three") == b"333"
    # another folder of the name is seen when a file of the old one is missed
    (folder / "b").rename(folder / "c")
    (folder / "b").mkdir()
    (folder / "b" / "two").write_bytes(b"new")
    assert source.open("b/two") == b"new"


def test_who_stays_in_a_root_that_is_gone_is_told_so(tmp_path: Path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_bytes(b"1")
    source = FolderSource(root, stays=True)
    assert source.open("a") == b"1"
    (root / "a").unlink()
    root.rmdir()
    with pytest.raises(StoppedError, match="ENOENT"):
        source.open("a")
