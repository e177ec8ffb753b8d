import pytest

from medpipe.errors import IntegrityError
from medpipe.lake.lake import Lake
from medpipe.lake.private import Private
from medpipe.privacy.secret import Secret

SAID = b"PATIENT^NAME /archive/path " * 50


def test_a_blob_comes_back_and_is_replaced(lake):
    lake.private.put("locators/source-1", b"first")
    lake.private.put("locators/source-1", SAID)
    lake.private.put("empty", b"")
    assert lake.private.get("locators/source-1") == SAID
    assert lake.private.get("empty") == b""
    assert lake.private.exists("empty")
    assert not lake.private.exists("locators/source-2")
    assert list(lake.private.names()) == ["empty", "locators/source-1"]
    assert list(lake.private.names("locators/")) == ["locators/source-1"]


def test_nothing_of_it_can_be_read_on_the_disk(lake):
    lake.private.put("a", SAID)
    for path in lake.root.rglob("*"):
        assert not path.is_file() or b"PATIENT" not in path.read_bytes()


def test_it_is_compressed_before_it_is_sealed(lake):
    lake.private.put("a", SAID)
    assert lake.store.absolute("private/a.sealed").stat().st_size < len(SAID) / 4


def test_a_missing_blob_is_missing(lake):
    with pytest.raises(FileNotFoundError):
        lake.private.get("a")
    with pytest.raises(IntegrityError, match=r"private/a\.sealed: it is missing"):
        lake.private.need("a")


def test_another_key_another_name_or_altered_bytes_do_not_open(lake):
    lake.private.put("a", SAID)
    with pytest.raises(IntegrityError):
        Private(lake.store, Secret(bytes(32))).get("a")
    sealed = lake.store.absolute("private/a.sealed")
    sealed.rename(lake.store.absolute("private/b.sealed"))
    with pytest.raises(IntegrityError, match=r"private/b\.sealed: it is torn or altered"):
        lake.private.get("b")


def test_what_a_scan_keeps_is_mended_by_a_scan_and_anything_else_by_a_run(lake):
    for name, remedy in {
        "sources/ab/headers/0-f.cd": "remove the folder private/sources/ab and scan again",
        "sources/ab/state": "remove the folder private/sources/ab and scan again",
        "plan/run-1/request": "remove it and run again",
    }.items():
        lake.store.swap_pointer(lake.layout.private(name), b"torn")
        with pytest.raises(IntegrityError, match=remedy):
            lake.private.get(name)


def test_equal_bytes_have_one_name_that_tells_nothing_without_the_key(lake, tmp_path):
    name = lake.private.put_content("sources/s/headers", b"SMITH^JOHN")
    assert lake.private.put_content("sources/s/headers", b"SMITH^JOHN") == name
    assert lake.private.put_content("sources/s/headers", b"SMITH^JANE") != name
    assert lake.private.get(name) == b"SMITH^JOHN"
    other = Lake.create(tmp_path / "other", privacy="pseudonymized", secret=Secret(b"o" * 32))
    assert other.private.put_content("sources/s/headers", b"SMITH^JOHN") != name


def test_a_removed_blob_is_gone_and_removing_it_again_is_nothing(lake):
    name = lake.private.put_content("one/two", b"data")
    lake.private.put("one/three", b"data")
    for _ in range(2):
        lake.private.remove(name)
    assert list(lake.private.names("one/")) == ["one/three"]
    assert list(lake.private.names("two/")) == []
