from __future__ import annotations

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
