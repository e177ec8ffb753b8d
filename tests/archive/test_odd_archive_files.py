"""DICOM files that were compressed one by one, zips that were split, zips behind programs."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import struct
import subprocess

import numpy as np
import pytest

from medpipe.archive.members import most_in_all
from medpipe.archive.source import FolderSource
from medpipe.archive.zips import ends_like_zip
from medpipe.errors import Rejected
from tests.archive.conftest import make_slice, to_bytes
from tests.archive.test_archive_files import put, told, zipped

END = struct.Struct("<4s4H2LH")
PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.fixture(scope="module")
def one() -> bytes:
    return to_bytes(make_slice(np.random.default_rng(3).integers(0, 999, (90, 70)).astype(np.uint16)))


# compressed one by one ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PACKERS)
def test_a_compressed_dicom_file_is_an_archive_file_of_one_member(tmp_path, one, kind):
    source = put(tmp_path, PACKERS[kind](one))
    (item,), code = source.members("held")
    assert (item.path, item.size, item.problem, code) == ("held/content", len(one), None, "")
    assert source.open("held/content") == one
    assert not source.has("held/other")
    # the member changes with its file
    version = item.version
    put(tmp_path, PACKERS[kind](one + b"\0\0"))
    assert source.members("held")[0][0].version != version


def test_streams_behind_each_other_are_one_file_as_gzip_has_it(tmp_path, one):
    source = put(tmp_path, gzip.compress(one[:1000]) + gzip.compress(one[1000:]))
    assert told(source) == ({"content": None}, "")
    assert source.open("held/content") == one


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_of_a_cut_one_there_is_the_beginning_and_a_code(tmp_path, one, kind):
    packed = PACKERS[kind](one)
    for end in range(len(packed) - 1, 4000, -len(packed) // 40):
        source = put(tmp_path, packed[:end])
        items, code = source.members("held")
        assert code == "E_ARCHIVE_DAMAGED"
        assert all(one.startswith(source.open(item.path)) for item in items)


def test_of_a_cut_block_of_bzip2_nobody_knows_what_it_was(tmp_path, one):
    with pytest.raises(Rejected, match="E_CHANGED"):
        put(tmp_path, bz2.compress(one)[:-200]).members("held")


def test_a_wrong_checksum_gives_nothing(tmp_path, one):
    packed = bytearray(gzip.compress(one))
    packed[-6] ^= 1
    assert told(put(tmp_path, bytes(packed))) == ({}, "E_ARCHIVE_DAMAGED")


def test_a_bomb_is_refused(tmp_path, one, monkeypatch):
    monkeypatch.setattr("medpipe.archive.members._FREE_IN_ALL_BYTES", 1 << 20)
    packed = gzip.compress(one + bytes(8 << 20))
    assert most_in_all(len(packed)) < 8 << 20
    assert told(put(tmp_path, packed)) == ({}, "E_ARCHIVE_RATIO")


def test_what_is_compressed_and_no_dicom_is_no_archive_file(tmp_path):
    for data in (b"text" * 100, b"", bytes(128) + b"DICX" + bytes(400)):
        with pytest.raises(Rejected, match="E_CHANGED"):
            put(tmp_path, gzip.compress(data)).members("held")


# split zips -----------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("zip") is None, reason="needs Info-ZIP")
def test_parts_that_zip_writes_are_told(tmp_path):
    (tmp_path / "noise").write_bytes(np.random.default_rng(1).bytes(150_000))
    subprocess.run(["zip", "-q", "-s", "64k", "all.zip", "noise"], cwd=tmp_path, check=True)
    source = FolderSource(tmp_path)
    assert source.members("all.z01") == ([], "E_ARCHIVE_SPLIT")
    last = (tmp_path / "all.zip").read_bytes()
    assert ends_like_zip(lambda at, n_bytes: last[at : at + n_bytes], len(last)) == "E_ARCHIVE_SPLIT"


def test_the_last_part_is_told_although_it_begins_like_a_zip(tmp_path):
    data = zipped({"a": b"one"})
    magic, _, _, *rest = END.unpack(data[-END.size :])
    split = data[: -END.size] + END.pack(magic, 1, 0, *rest)
    assert told(put(tmp_path, split)) == ({}, "E_ARCHIVE_SPLIT")


def test_a_zip_that_was_to_be_split_and_was_not_is_read(tmp_path):
    data = zipped({"a": b"one"})
    marked = b"PK00" + data
    at = marked.index(b"PK\x01\x02")
    fields = list(END.unpack(marked[-END.size :]))
    fields[6] += 4
    # local offset of the member, and where the directory begins
    marked = marked[: at + 42] + struct.pack("<L", 4) + marked[at + 46 : -END.size] + END.pack(*fields)
    assert told(put(tmp_path, marked)) == ({"a": None}, "")


# zips behind programs -------------------------------------------------------------------------


def ending(data: bytes) -> str:
    return ends_like_zip(lambda at, n_bytes: data[at : at + n_bytes], len(data))


def test_a_zip_behind_a_program_is_told():
    data = zipped({"a": b"one"})
    for program in (b"MZ" + bytes(300), b"#!/bin/sh\nexit 0\n", b"\x7fELF" + bytes(1 << 17)):
        assert ending(program + data) == "E_ARCHIVE_PROGRAM"


def test_what_only_has_the_letters_of_an_end_record_is_nothing():
    data = zipped({"a": b"one"})
    empty = END.pack(b"PK\x05\x06", 0, 0, 0, 0, 0, 0, 0)
    for other in (b"", b"text", b"PK\x05\x06", b"text" + empty, b"MZ" + data + b"x", b"MZ" + data[-END.size :]):
        assert ending(other) == ""
    assert isinstance(ending(b"MZ" + b"PK\x05\x06" * 30), str)


def test_bytes_at_random_behind_the_letters_raise_nothing():
    rng = np.random.default_rng(2)
    for _ in range(300):
        data = rng.bytes(int(rng.integers(0, 60))) + b"PK\x05\x06" + rng.bytes(int(rng.integers(0, 40)))
        assert ending(data) in {"", "E_ARCHIVE_SPLIT", "E_ARCHIVE_PROGRAM"}
