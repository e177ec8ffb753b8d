import contextlib
import errno
import os
import subprocess

import numpy as np
import pytest

from medpipe.contracts.tables import VOLUMES
from medpipe.errors import StoppedError
from medpipe.lake.durable import storage_faults
from medpipe.lake.lake import Lake
from medpipe.lake.segments import SegmentWriter, list_segments, read_segment
from medpipe.lake.store import LocalStore
from medpipe.lake.volumes import put_volume, read_volume
from tests.lake.at_once import publish_tables, write_index

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path):
    """Mount a disk of 4 MiB, or skip with the reason."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here ({type(error).__name__})")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def remount(place, option):
    subprocess.run(["mount", "-o", f"remount,{option}", str(place)], check=True, capture_output=True)


def fill(place, *, leave):
    free = os.statvfs(place)
    (place / "ballast").write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - leave)))


def attempts(lake):
    return list(lake.store.list("tmp"))


@pytest.mark.parametrize("leave", [0, 8 << 10, 256 << 10, 1 * MIB, 2 * MIB])
def test_a_volume_on_a_full_disk_stops_cleanly_and_resumes(disk, secret, make_volume, leave):
    lake = Lake.create(disk / "lake", privacy="pseudonymized", secret=secret)
    volume = make_volume(np.random.default_rng(0).normal(size=(64, 128, 128)).astype(np.float32))
    fill(disk, leave=leave)
    with pytest.raises(StoppedError, match=r"no space is left.*make room, then run the same command again"):
        put_volume(lake, "ab" * 32, volume)
    assert attempts(lake) == []
    assert list(lake.store.list("objects")) == []
    remount(disk, "size=32m")
    row = put_volume(lake, "ab" * 32, volume)
    np.testing.assert_array_equal(read_volume(lake, row["store"]).data, volume.data)


def test_segments_tables_index_and_private_stop_cleanly_and_resume(disk, secret, make_result):
    lake = Lake.create(disk / "lake", privacy="pseudonymized", secret=secret)
    rows = [{"volume_key": os.urandom(16).hex()} for _ in range(2000)]
    writer = SegmentWriter(lake, "run-1", "w", most_s=60)
    writer.add(make_result(1))
    steps = (
        writer.flush,
        lambda: write_index(lake, "s", {"volumes": rows}),
        lambda: publish_tables(lake, recipe_name="demo", snapshot="ab" * 16, tables={"volumes": (VOLUMES, rows)}),
        lambda: lake.private.put("a", os.urandom(100_000)),
        lambda: lake.driver().__enter__(),
    )
    fill(disk, leave=0)
    for step in steps:
        with pytest.raises(StoppedError, match="no space is left"):
            step()
        assert attempts(lake) == []
    remount(disk, "size=32m")
    for step in steps:
        step()
    assert [len(read_segment(lake, name)) for name in list_segments(lake)] == [1]


def test_a_read_only_disk_stops_and_still_reads(disk, secret, make_volume):
    lake = Lake.create(disk / "lake", privacy="pseudonymized", secret=secret)
    row = put_volume(lake, "ab" * 32, make_volume())
    remount(disk, "ro")
    with pytest.raises(StoppedError, match="read-only"):
        put_volume(lake, "cd" * 32, make_volume())
    with pytest.raises(StoppedError, match="read-only"), lake.driver():
        pass
    assert read_volume(lake, row["store"]).data.shape == (5, 7, 9)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "make room"), (errno.EDQUOT, "make room"), (errno.EROFS, "have it mounted for writing")],
)
def test_a_put_that_is_refused_leaves_nothing_and_says_what_helps(tmp_path, monkeypatch, number, remedy):
    store = LocalStore(tmp_path)

    def refuse(_descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoppedError, match=f"{remedy}, then run the same command again"):
        store.put_if_absent("a", b"1")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_other_faults_of_a_disk_are_not_called_a_full_one():
    with pytest.raises(OSError, match="I/O") as fault, storage_faults("x"):
        raise OSError(errno.EIO, "I/O error")
    assert not isinstance(fault.value, StoppedError)
    with contextlib.suppress(OSError), storage_faults("x"):
        raise OSError("no number")
