import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from medpipe.errors import IntegrityError
from medpipe.keys import bytes_digest, digest
from medpipe.lake.audit import audited
from medpipe.lake.lake import Lake
from medpipe.lake.models import put_model
from medpipe.lake.tables import set_published_state


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Return a lake with one of everything."""
    folder = tmp_path_factory.mktemp("audit")
    script = Path(__file__).with_name("commit_once.py")
    environment = {**os.environ, "PYTHONPATH": str(script.parents[2])}
    subprocess.run([sys.executable, script, folder, "lake="], check=True, env=environment, capture_output=True)
    lake = Lake.open(folder / "lake")
    files = {"card.json": b"{}"}
    put_model(lake, digest({name: bytes_digest(data) for name, data in files.items()}), files, name="nodule")
    return lake


@pytest.fixture
def full(template, tmp_path):
    """Return a copy of it that may be damaged."""
    shutil.copytree(template.root, tmp_path / "lake", symlinks=True)
    return Lake.open(tmp_path / "lake")


def damaged(lake):
    found = []
    for kind, _what, check in audited(lake):
        try:
            check()
        except IntegrityError:
            found.append(kind)
    return found


def test_everything_committed_is_read(full):
    assert Counter(kind for kind, _, _ in audited(full)) == {
        "volume": 2,
        "index": 1,
        "tables": 1,
        "segment": 2,
        "results": 1,
        "snapshot": 1,
        "model": 1,
        "link": 1,
    }
    assert damaged(full) == []


def test_an_empty_lake_is_whole(lake):
    assert damaged(lake) == []


@pytest.mark.parametrize(
    ("pattern", "kinds"),
    [
        ("objects/??/*/0/c/0/0/0", ["volume"]),
        ("objects/segments/run-1/*", ["segment", "results"]),
        ("objects/snapshots/*", ["snapshot"]),
        ("index/s/*/volumes.parquet", ["index"]),
        ("published/demo/*/volumes/*", ["tables", "link"]),
        ("models/*/card.json", ["model"]),
    ],
)
def test_one_altered_bit_anywhere_is_found(full, pattern, kinds):
    path = min(full.root.glob(pattern))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert damaged(full)[: len(kinds)] == kinds


def test_a_volume_that_is_gone_is_missed_by_the_tables(full):
    folder = min(full.root.glob("objects/??/*"))
    (folder / "manifest.json").unlink()
    assert damaged(full) == ["volume", "link"]


def test_a_link_to_the_tables_that_is_gone_is_missed_once_a_run_has_ended(full):
    (full.root / "tables").unlink()
    assert damaged(full) == []
    set_published_state(full, "demo", "ab" * 32)
    assert damaged(full) == ["link"]


def test_a_segment_that_is_gone_is_missed_by_the_published_snapshot(full):
    min(full.root.glob("objects/segments/run-1/*")).unlink()
    assert damaged(full) == ["results"]


def test_a_published_snapshot_that_is_gone_is_missed(full):
    min(full.root.glob("objects/snapshots/*")).unlink()
    assert damaged(full) == ["snapshot"]
