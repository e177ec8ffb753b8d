"""Zip and tar files as the standard library writes them, and as nobody should."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import shutil
import stat
import struct
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from medpipe.archive import members
from medpipe.archive.source import FolderSource
from medpipe.errors import Rejected

NAMES = [*(f"a/{number}/x.bin" for number in range(30)), "b", "c/" + "n" * 150 + "/" + "é" * 60, "back\\slash"]
TARS = [(form, packed) for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT) for packed in ("", "gz", "bz2", "xz")]


def contents() -> dict[str, bytes]:
    """Return bytes by name: of awkward lengths, some of which shrink."""
    source = random.Random(4)
    lengths = (0, 1, 511, 512, 513, 70_000)
    return {name: source.randbytes(source.choice(lengths)) * source.choice((1, 3)) for name in NAMES}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return held.getvalue()


def tarred(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT, packed: str = "") -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode=f"w:{packed}", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return held.getvalue()


def put(folder: Path, data: bytes, name: str = "held") -> FolderSource:
    (folder / name).write_bytes(data)
    return FolderSource(folder)


def told(source: FolderSource, name: str = "held") -> tuple[dict[str, str | None], str]:
    """Return what becomes of each member (a code, or None where its bytes can be read), and the file's code."""
    items, code = source.members(name)
    return {item.path.removeprefix(f"{name}/"): item.problem or refusal(source, item.path) for item in items}, code


def refusal(source: FolderSource, path: str) -> str | None:
    try:
        source.open(path)
    except Rejected as rejected:
        return rejected.code
    return None


def changed(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def directory_at(data: bytes) -> int:
    return data.index(b"PK\x01\x02")


# what the standard library wrote --------------------------------------------------------------


def written() -> list[tuple[str, bytes]]:
    zips = [(f"zip {method}", zipped(contents(), method)) for method in (0, 8, 12)]
    return zips + [(f"tar {form} {packed}", tarred(contents(), form, packed)) for form, packed in TARS]


@pytest.mark.parametrize(("kind", "data"), written(), ids=[kind for kind, _ in written()])
def test_members_have_the_bytes_that_were_packed_whatever_the_order_they_are_asked_for_in(tmp_path, kind, data):
    source, files = put(tmp_path, data), contents()
    items, code = source.members("held")
    assert code == ""
    assert {item.path: item.size for item in items} == {f"held/{name}": len(data) for name, data in files.items()}
    for item in random.Random(1).sample(items, len(items)):
        assert source.open(item.path) == files[item.path.removeprefix("held/")]
        assert source.has(item.path)
    assert not source.has("held/none")


def test_an_archive_file_may_be_the_root_itself(tmp_path):
    put(tmp_path, zipped({"a": b"one"}))
    (tmp_path / "beside").write_bytes(b"not asked for")
    source = FolderSource(tmp_path / "held")
    assert [item.path for item in source.scan()] == ["held"]
    assert source.open("held/a") == b"one"
    with pytest.raises(Rejected, match="E_VANISHED"):
        source.open("beside")


def test_going_back_in_a_compressed_tar_further_than_is_held_costs_time_and_no_bytes(tmp_path, monkeypatch):
    files = {str(number): random.Random(number).randbytes(100_000) for number in range(6)}
    monkeypatch.setattr("medpipe.archive.inflating._WINDOW_BYTES", 1 << 17)
    monkeypatch.setattr("medpipe.archive.inflating._GZIP_WINDOW_BYTES", 1 << 17)
    monkeypatch.setattr("medpipe.archive.inflating._STEP_BYTES", 1 << 16)
    for packed in ("gz", "bz2", "xz"):
        source = put(tmp_path, tarred(files, packed=packed), packed)
        for name in sorted(files, key=int, reverse=True):
            assert source.open(f"{packed}/{name}") == files[name]


def test_a_gzip_stream_is_gone_on_with_from_marks(tmp_path, monkeypatch):
    for name, value in {"_GZIP_WINDOW_BYTES": 1 << 18, "_STEP_BYTES": 1 << 14, "_MOST_MARKS": 5}.items():
        monkeypatch.setattr(f"medpipe.archive.inflating.{name}", value)
    from medpipe.archive import inflating

    data = random.Random(2).randbytes(1 << 16) * 80
    (tmp_path / "a").write_bytes(gzip.compress(data[: 3 << 20]) + gzip.compress(data[3 << 20 :]) + bytes(100))
    file = os.open(tmp_path / "a", os.O_RDONLY)
    stream = inflating.Inflated(inflating.opener_of(b"\x1f\x8b\x08"), len(data))
    stream._mark_bytes = 1 << 17
    for _ in range(200):
        at = random.randrange(len(data))
        assert stream.read(file, at, 5000) == data[at : at + 5000]
    assert 1 < len(stream._marks) <= 5
    os.close(file)


@pytest.mark.slow
def test_more_than_65535_members_are_read(tmp_path):
    source = put(tmp_path, zipped({f"{number:05d}": b"%d" % number for number in range(66_000)}))
    items, code = source.members("held")
    assert (len(items), code) == (66_000, "")
    assert source.open("held/65999") == b"65999"


def test_64_bit_fields_are_read(tmp_path):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        with archive.open(zipfile.ZipInfo("wide"), "w", force_zip64=True) as member:
            member.write(b"64 bits")
        archive.writestr("after", b"x")
    data = held.getvalue()
    wide = directory_at(data)
    # the record says that sizes and offset stand in the extra field, and the end that all of it does
    extra = struct.pack("<2H3Q", 1, 24, 7, 7, 0)
    name_end = wide + 46 + len("wide")
    record = changed(changed(data[wide:name_end], 20, b"\xff" * 8), 42, b"\xff" * 4)
    record = changed(record, 30, struct.pack("<H", len(extra))) + extra
    end = data.rindex(b"PK\x05\x06")
    directory = record + data[name_end:end]
    end_64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, len(directory), wide)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, wide + len(directory), 1)
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    whole = data[:wide] + directory + end_64 + locator + last
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.read("wide") == b"64 bits"
    assert told(put(tmp_path, whole)) == ({"wide": None, "after": None}, "")


def test_what_lies_behind_4_gib_is_read_where_offsets_have_32_bits(tmp_path):
    data = zipped({"a": b"one", "b": b"two"})
    second = data.index(b"PK\x03\x04", 4)
    source = put(tmp_path, data[:second])
    with (tmp_path / "held").open("r+b") as file:
        file.seek((1 << 32) + second)
        file.write(data[second:])
    assert told(source) == ({"a": "E_ARCHIVE_DAMAGED", "b": None}, "")


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar")
@pytest.mark.parametrize("options", [(), ("-z",), ("-b", "1"), ("-b", "2048"), ("-z", "-b", "2048")])
def test_what_tar_itself_writes_ends_as_it_should(tmp_path, options):
    (tmp_path / "a").write_bytes(b"one" * 500)
    (tmp_path / "b").write_bytes(b"")
    command = ["tar", "-C", tmp_path, *options, "-cf", tmp_path / "held", "a", "b"]
    subprocess.run(command, check=True)
    assert told(FolderSource(tmp_path)) == ({"a": None, "b": None}, "")


def test_a_zip_may_have_a_comment_that_looks_like_its_end(tmp_path):
    files = {"a": b"one", "b": b"two"}
    for comment in (b"words", b"PK\x05\x06" * 20, zipped({}) + b"words", b"w" * 0xFFFF):
        held = io.BytesIO(zipped(files))
        with zipfile.ZipFile(held, "a") as archive:
            archive.comment = comment
        assert told(put(tmp_path, held.getvalue())) == ({"a": None, "b": None}, "")


# what a file is, is in its bytes --------------------------------------------------------------


def test_what_is_no_archive_file_is_none(tmp_path):
    for data in (b"", b"text", gzip.compress(b"no tar" * 200), bz2.compress(b"no tar"), bytes(1024), b"BZh9" * 400):
        source = put(tmp_path, data)
        with pytest.raises(Rejected, match="E_CHANGED"):
            source.members("held")
        assert refusal(source, "held/a") == "E_CHANGED"


def test_an_archive_file_that_is_replaced_by_another_is_read_as_it_is_now(tmp_path):
    source = put(tmp_path, zipped({"a": b"one", "b": b"two"}))
    assert source.open("held/a") == b"one"
    (tmp_path / "held").unlink()
    put(tmp_path, tarred({"a": b"uno!"}))
    assert source.open("held/a") == b"uno!"
    assert refusal(source, "held/b") == "E_VANISHED"
    (tmp_path / "held").unlink()
    (tmp_path / "held").symlink_to(tmp_path / "other")
    put(tmp_path, zipped({"a": b"one"}), "other")
    assert refusal(source, "held/a") == "E_CHANGED"


# names ----------------------------------------------------------------------------------------

TRICKS = ("../../etc/passwd", "/etc/passwd", "a/../../b", "..\\..\\b", "C:\\boot.ini", "\\\\host\\x", "..", "n" * 5000)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_names_that_lead_out_are_told_and_not_read(tmp_path, pack):
    files = dict.fromkeys(TRICKS, b"bait") | {"./plain//name": b"image"}
    found, code = told(put(tmp_path, pack(files)))
    assert code == ""
    assert found.pop("plain/name") is None
    assert len(found) == len(TRICKS)
    assert set(found.values()) == {"E_ARCHIVE_SLIP"}
    assert not any("/" in path or "\0" in path for path in found)


def test_a_nul_byte_in_a_name_is_told(tmp_path):
    data = zipped({"a-b": b"bait"}).replace(b"a-b", b"a\0b")
    found, _ = told(put(tmp_path, data))
    assert found == {"a%00b": "E_ARCHIVE_SLIP"}


def test_names_that_come_twice_are_two_members(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped_twice()
    for one in (data, tarred({"a": b"first", "b": b"x"}).rstrip(b"\0") + bytes(1024)):
        assert len(told(put(tmp_path, one))[0]) == 2
    source = put(tmp_path, data)
    assert [source.open(item.path) for item in source.members("held")[0]] == [b"first", b"second"]


def zipped_twice() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a", b"first")
        archive.writestr("a", b"second")
    return held.getvalue()


def test_names_that_are_not_utf8_have_their_bytes(tmp_path):
    source = put(tmp_path, zipped({"a__b": b"x"}).replace(b"a__b", b"a\xff\xfeb"))
    (item,), _ = source.members("held")
    assert item.path == "held/a%FF%FEb"
    assert source.open(item.path) == b"x"


# links, devices, folders ----------------------------------------------------------------------


def test_links_and_devices_are_told_and_folders_are_no_files(tmp_path):
    held = io.BytesIO()
    kinds = {"hard": "1", "soft": "2", "chr": "3", "blk": "4", "dir": "5", "pipe": "6", "flat": "7"}
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name, kind in kinds.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind.encode(), "/etc/passwd"
            archive.addfile(info)
    found, code = told(put(tmp_path, held.getvalue()))
    links, devices = (
        dict.fromkeys(("hard", "soft"), "E_ARCHIVE_LINK"),
        dict.fromkeys(("chr", "blk", "pipe"), "E_SPECIAL_FILE"),
    )
    assert (found, code) == ({**links, **devices, "flat": None}, "")


def test_links_and_pipes_in_a_zip_are_told(tmp_path):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, mode in {"soft": stat.S_IFLNK, "pipe": stat.S_IFIFO, "plain": stat.S_IFREG}.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (mode | 0o644) << 16
            archive.writestr(info, b"/etc/passwd")
        archive.mkdir("folder")
    found, _ = told(put(tmp_path, held.getvalue()))
    assert found == {"soft": "E_ARCHIVE_LINK", "pipe": "E_SPECIAL_FILE", "plain": None}


def test_sparse_members_are_told_and_those_behind_them_read(tmp_path):
    old = tarred({"s": bytes(512), "after": b"x"}, tarfile.GNU_FORMAT)
    head = changed(changed(old[:512], 156, b"S"), 482, b"\1")
    head = changed(head, 148, b"%06o\0 " % sum(changed(head, 148, b" " * 8)))
    found, code = told(put(tmp_path, head + bytes(512) + old[512:]))
    assert (found, code) == ({"s": "E_ARCHIVE_METHOD", "after": None}, "")
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("stored")
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "shown"}
        archive.addfile(info)
    assert told(put(tmp_path, held.getvalue())) == ({"shown": "E_ARCHIVE_METHOD"}, "")


# what lies ------------------------------------------------------------------------------------


def test_encrypted_members_and_unknown_methods_are_told(tmp_path):
    data = zipped({"a": b"secret"})
    at = directory_at(data)
    assert told(put(tmp_path, changed(data, at + 8, b"\1\0")))[0] == {"a": "E_ARCHIVE_ENCRYPTED"}
    assert told(put(tmp_path, changed(data, at + 10, struct.pack("<H", 93))))[0] == {"a": "E_ARCHIVE_METHOD"}


@pytest.mark.parametrize(
    ("offset", "value", "code"),
    [
        (16, b"\0\0\0\0", "E_ARCHIVE_CRC"),
        (24, struct.pack("<I", 5), "E_LENGTH"),
        (24, struct.pack("<I", 5000), "E_LENGTH"),
        (20, struct.pack("<I", 3), "E_LENGTH"),
        (20, struct.pack("<I", 9_000_000), "E_ARCHIVE_OVERLAP"),
        (42, struct.pack("<I", 7), "E_ARCHIVE_OVERLAP"),
        (42, struct.pack("<I", 2_000_000_000), "E_ARCHIVE_OVERLAP"),
    ],
)
def test_a_directory_that_lies_of_a_member_costs_that_member(tmp_path, offset, value, code):
    data = zipped({"a": b"words that shrink, words that shrink" * 9})
    assert told(put(tmp_path, changed(data, directory_at(data) + offset, value))) == ({"a": code}, "")


def test_a_local_header_that_contradicts_the_directory_is_told(tmp_path):
    data = zipped({"first": b"", "name": b"words"})
    second = data.index(b"PK\x03\x04", 4)
    lies = {(0, b"XX"): "DAMAGED", (6, b"\1\0"): "DAMAGED", (8, b"\0\0"): "DAMAGED", (28, b"\xff\0"): "OVERLAP"}
    for (at, value), code in (lies | {(30, b"nome"): "DAMAGED"}).items():
        assert told(put(tmp_path, changed(data, second + at, value)))[0] == {"first": None, "name": f"E_ARCHIVE_{code}"}


def test_members_that_overlap_are_told(tmp_path):
    # two records of one member, as bombs have thousands
    data = zipped({"a": b"kernel" * 50, "b": b"kernel" * 50})
    second = data.index(b"PK\x01\x02", directory_at(data) + 4)
    assert told(put(tmp_path, changed(data, second + 42, bytes(4)))) == (
        {"a": "E_ARCHIVE_OVERLAP", "b": "E_ARCHIVE_OVERLAP"},
        "",
    )


def test_bytes_that_do_not_fit_their_checksum_are_never_given(tmp_path):
    data = zipped({"a": b"words"}, zipfile.ZIP_STORED)
    assert told(put(tmp_path, data.replace(b"words", b"swords"[1:4] + b"!!", 1)))[0] == {"a": "E_ARCHIVE_CRC"}


def test_a_damaged_zip_gives_the_bytes_that_were_packed_or_a_code(tmp_path):
    files = {f"{number}/name": random.Random(number).randbytes(200) * 3 for number in range(6)}
    sums = {zlib.crc32(data): data for data in files.values()}
    source, chance = FolderSource(tmp_path), random.Random(8)
    for packed in (zipped(files), zipped(files, zipfile.ZIP_STORED)):
        for _ in range(600):
            data = bytearray(packed)
            for _ in range(chance.choice((1, 2, 8))):
                data[chance.randrange(4, len(data))] = chance.randrange(256)
            (tmp_path / "held").write_bytes(data if chance.random() < 0.8 else data[: chance.randrange(4, len(data))])
            for item in source.members("held")[0]:
                if item.problem is None and refusal(source, item.path) is None:
                    assert sums[zlib.crc32(source.open(item.path))] == source.open(item.path)


def test_a_damaged_tar_is_listed_or_refused(tmp_path):
    source, chance = FolderSource(tmp_path), random.Random(9)
    small = {name: data[:600] for name, data in contents().items()}
    whole = [tarred(small, form, packed) for form, packed in TARS]
    for _ in range(400):
        data = bytearray(chance.choice(whole))
        for _ in range(chance.choice((1, 2, 8))):
            data[chance.randrange(6, len(data))] = chance.randrange(256)
        (tmp_path / "held").write_bytes(data if chance.random() < 0.8 else data[: chance.randrange(6, len(data))])
        try:
            items, _ = source.members("held")
        except Rejected:
            continue
        for item in items[:3]:
            refusal(source, item.path)


# what is cut ----------------------------------------------------------------------------------


def test_of_a_cut_tar_what_is_there_is_read(tmp_path):
    files = {name: name.encode() * 700 for name in ("a", "b", "c")}
    data = tarred(files, tarfile.GNU_FORMAT)
    found, code = told(put(tmp_path, data[: data.index(b"c" * 700) + 100]))
    assert (found, code) == ({"a": None, "b": None, "c": "E_TRUNCATED"}, "E_TRUNCATED")
    files = {name: random.Random(name).randbytes(420_000) for name in ("a", "b", "c")}
    for packed in ("gz", "bz2", "xz"):
        data = tarred(files, packed=packed)
        found, code = told(put(tmp_path, data[: len(data) * 9 // 10]))
        assert (found, code) == ({"a": None, "b": None, "c": "E_TRUNCATED"}, "E_TRUNCATED")


def test_a_tar_without_its_end_says_so(tmp_path):
    data = tarred({"a": b"x" * 512}, tarfile.GNU_FORMAT)
    for n_bytes in (1024, 1536, 2047):
        assert told(put(tmp_path, data[:n_bytes])) == ({"a": None}, "E_TRUNCATED")
    assert told(put(tmp_path, data[:2048])) == ({"a": None}, "")


def test_a_single_block_of_zeros_ends_no_tar(tmp_path):
    first, second = (tarred({name: b"x" * 512}, tarfile.GNU_FORMAT) for name in "ab")
    assert told(put(tmp_path, first[:1536] + second)) == ({"a": None}, "E_ARCHIVE_DAMAGED")


@pytest.mark.parametrize("packed", ["", "gz", "bz2", "xz"])
def test_a_tar_behind_another_is_told(tmp_path, packed):
    first, second = tarred({"a": b"one"}, packed=packed), tarred({"b": b"two"}, packed=packed)
    assert told(put(tmp_path, first + second)) == ({"a": None}, "E_ARCHIVE_DAMAGED")
    assert told(put(tmp_path, first)) == ({"a": None}, "")


def test_zeros_behind_a_tar_are_looked_through_to_its_end_or_as_far_as_tapes_pad(tmp_path):
    data = tarred({"a": b"one"})
    assert told(put(tmp_path, data + bytes(3 << 20))) == ({"a": None}, "")
    assert told(put(tmp_path, data + bytes(3 << 20) + b"x")) == ({"a": None}, "E_ARCHIVE_DAMAGED")
    for n_bytes, code in ((1 << 19, "E_ARCHIVE_DAMAGED"), (3 << 20, "")):
        packed = gzip.compress(data + bytes(n_bytes) + b"x")
        assert told(put(tmp_path, packed)) == ({"a": None}, code)


def test_a_zip_behind_another_or_before_other_bytes_is_told(tmp_path):
    first, second, none = zipped({"a": b"one"}), zipped({"b": b"two"}), zipped({})
    for data in (first + second, first + none, none + first, b"PK\x03\x04" + bytes(100) + first):
        assert told(put(tmp_path, data)) == ({}, "E_ARCHIVE_DAMAGED")
    # whose end record it is stands beyond doubt
    for data in (first + b"\n", first + bytes(600), first + second[:30]):
        assert told(put(tmp_path, data)) == ({"a": None}, "E_ARCHIVE_DAMAGED")


@pytest.mark.parametrize("comment", [b"", b"what a scanner notes"])
def test_a_zip_that_is_cut_anywhere_never_shows_what_another_inside_it_holds(tmp_path, comment):
    inner = zipped({"inner/a": b"bait", "inner/b": b"more"})
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, data in {"first": b"one" * 9, "in.zip": inner, "empty.zip": zipped({}), "last": b"two" * 9}.items():
            archive.writestr(name, data)
        archive.comment = comment
    data, source = held.getvalue(), FolderSource(tmp_path)
    ends = {data.index(one) + len(one) for one in (inner, zipped({}))}
    directory_end = data.rindex(b"PK\x05\x06") + 22
    for end in sorted({*range(4, len(data), 7), *ends, *(end + 3 for end in ends), *range(directory_end, len(data))}):
        (tmp_path / "held").write_bytes(data[:end])
        whole = {"first", "in.zip", "empty.zip", "last"} if end >= directory_end else set()
        assert (set(told(source)[0]), told(source)[1]) == (whole, "E_ARCHIVE_DAMAGED")
    (tmp_path / "held").write_bytes(data)
    assert told(source)[1] == ""


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_tar_that_is_cut_anywhere_before_its_end_says_so(tmp_path, form):
    files = {"a": b"one" * 300, "n" * 120: b"", "in.tar": tarred({"inner": b"bait"}, form), "last": b"two" * 300}
    data, source = tarred(files, form), FolderSource(tmp_path)
    ended = len(data.rstrip(b"\0")) // 512 * 512 + 1536
    for end in range(512, len(data), 7):
        (tmp_path / "held").write_bytes(data[:end])
        found, code = told(source)
        assert code == ("" if end >= ended else "E_TRUNCATED")
        assert set(found) == set([*files][: len(found)])
        assert len(found) == len(files) or code
        assert all(source.open(f"held/{name}") == files[name] for name in found if found[name] is None)


def test_a_zip_that_is_cut_or_counts_wrongly_says_so(tmp_path):
    data = zipped({"a": b"one", "b": b"two"})
    assert told(put(tmp_path, data[:-30])) == ({}, "E_ARCHIVE_DAMAGED")
    end = data.rindex(b"PK\x05\x06")
    assert told(put(tmp_path, changed(data, end + 8, b"\3\0\3\0"))) == ({"a": None, "b": None}, "E_ARCHIVE_DAMAGED")
    second = data.index(b"PK\x01\x02", directory_at(data) + 4)
    assert told(put(tmp_path, changed(data, second, b"XX"))) == ({"a": None}, "E_ARCHIVE_DAMAGED")


# what is too much -----------------------------------------------------------------------------


def test_a_member_that_inflates_beyond_its_bound_is_not_inflated(tmp_path):
    bomb = zipped({"a": bytes(70 << 20)})
    assert len(bomb) < 1 << 20
    assert told(put(tmp_path, bomb))[0] == {"a": "E_ARCHIVE_RATIO"}
    # one that says less than it holds is given up where it should end
    small = changed(bomb, directory_at(bomb) + 24, struct.pack("<I", 1000))
    assert told(put(tmp_path, small))[0] == {"a": "E_LENGTH"}


def test_many_members_that_inflate_beyond_the_bound_of_all_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "_FREE_IN_ALL_BYTES", 1 << 20)
    files = {str(number): bytes(1 << 18) for number in range(8)} | {"small": b"image"}
    found, code = told(put(tmp_path, zipped(files)))
    assert found.pop("small") is None
    assert (set(found.values()), code) == ({"E_ARCHIVE_RATIO"}, "")


@pytest.mark.parametrize("packed", ["gz", "bz2", "xz"])
def test_a_compressed_tar_that_inflates_beyond_its_bound_is_refused(tmp_path, monkeypatch, packed):
    name = "_FREE_SLOWLY_BYTES" if packed == "bz2" else "_FREE_IN_ALL_BYTES"
    monkeypatch.setattr(members, name, 1 << 20)
    assert told(put(tmp_path, tarred({"a": bytes(4 << 20)}, packed=packed))) == ({}, "E_ARCHIVE_RATIO")


@pytest.mark.parametrize("packed", ["gz", "bz2", "xz"])
def test_a_member_of_a_compressed_tar_has_the_bound_of_a_zip(tmp_path, monkeypatch, packed):
    monkeypatch.setattr(members, "_FREE_BYTES", 1 << 20)
    files = {"bomb": bytes(4 << 20), "image": b"x" * 100}
    assert told(put(tmp_path, tarred(files, packed=packed))) == ({"bomb": "E_ARCHIVE_RATIO", "image": None}, "")
    assert told(put(tmp_path, tarred(files))) == ({"bomb": None, "image": None}, "")


def test_an_xz_stream_that_asks_for_more_memory_than_any_preset_is_refused(tmp_path):
    wide = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
    data = lzma.compress(tarred({"a": b"x"}), filters=wide)
    with pytest.raises(Rejected, match="E_CHANGED"):
        put(tmp_path, data).members("held")


def test_more_members_than_the_bound_are_refused_whole(tmp_path, monkeypatch):
    for name in ("zips", "tars"):
        monkeypatch.setattr(f"medpipe.archive.{name}.MAX_MEMBERS", 3)
    files = {str(number): b"x" for number in range(4)}
    for data in (zipped(files), tarred(files), tarred(files, packed="gz")):
        assert told(put(tmp_path, data)) == ({}, "E_ARCHIVE_LIMIT")


@pytest.mark.parametrize("packed", ["gz", "bz2", "xz"])
def test_a_compressed_tar_has_no_more_members_than_its_bytes_can_hold(tmp_path, monkeypatch, packed):
    monkeypatch.setattr(members, "_FREE_MEMBERS", 100)
    alike = tarred({"a": b""})[:512] * 400
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[packed]
    assert told(put(tmp_path, pack(alike + bytes(1024)))) == ({}, "E_ARCHIVE_LIMIT")
    assert len(told(put(tmp_path, alike + bytes(1024)))[0]) == 400
    files = {f"{number}": random.Random(number).randbytes(100) for number in range(400)}
    assert len(told(put(tmp_path, tarred(files, packed=packed)))[0]) == 400


def test_sums_of_signed_bytes_are_taken_too(tmp_path):
    head = tarred({"é": b"x"}, tarfile.GNU_FORMAT)
    plain = head[:148] + b" " * 8 + head[156:512]
    signed = sum(byte - 256 if byte > 127 else byte for byte in plain)
    assert signed < sum(plain)
    source = put(tmp_path, changed(head, 148, b"%06o\0 " % signed))
    assert told(source) == ({"é": None}, "")


def test_headers_before_headers_and_sizes_beyond_the_file_are_bounded(tmp_path):
    long = tarred({"n" * 200: b""}, tarfile.GNU_FORMAT)[:1024]
    assert told(put(tmp_path, long * 20 + bytes(1024))) == ({}, "E_ARCHIVE_DAMAGED")
    head = tarred({"a": b"x"}, tarfile.GNU_FORMAT)[:512]
    huge = changed(head, 124, b"\x80" + (1 << 61).to_bytes(11, "big"))
    huge = changed(huge, 148, b"%06o\0 " % sum(changed(huge, 148, b" " * 8)))
    assert told(put(tmp_path, huge + bytes(2048)))[1] == "E_TRUNCATED"
    records = changed(changed(head, 156, b"x"), 124, b"%011o\0" % (2 << 20))
    records = changed(records, 148, b"%06o\0 " % sum(changed(records, 148, b" " * 8)))
    assert told(put(tmp_path, records + bytes(3 << 20))) == ({}, "E_ARCHIVE_LIMIT")
