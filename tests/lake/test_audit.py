import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from medpipe.errors import MedpipeError
from medpipe.keys import bytes_digest, digest
from medpipe.lake.audit import audits
from medpipe.lake.lake import Lake
from medpipe.lake.models import put_model
from medpipe.lake.removal_list import write_removal_list
from medpipe.lake.runs import Run
from medpipe.lake.tables import set_published_state

UNSUMMED = {"locks/driver.lock"}
"""Who holds the lock, for a person to read: nothing depends on it, and the next driver writes it anew."""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Return a lake with one of everything."""
    folder = tmp_path_factory.mktemp("audit")
    script = Path(__file__).with_name("commit_once.py")
    environment = {**os.environ, "PYTHONPATH": str(script.parents[2])}
    subprocess.run([sys.executable, script, folder, "lake="], check=True, env=environment, capture_output=True)
    return folder / "lake"


@pytest.fixture
def full(template, tmp_path, secret):
    """Return a copy of it that may be damaged."""
    shutil.copytree(template, tmp_path / "lake", symlinks=True)
    lake = Lake.open(tmp_path / "lake", secret=secret)
    files = {"card.json": b"{}"}
    put_model(lake, digest({name: bytes_digest(data) for name, data in files.items()}), files, name="nodule")
    run = Run(lake, "run-1")
    run.write_lock('name = "demo"\n')
    run.write_info({"recipe": "demo", "recipe_digest": "ab"})
    run.write_shard(0, [{"case_key": "ab"}], ['{"order": 1}'])
    with run.events(1) as events:
        events.add("planned", {"planned": 3, "pending": 3})
        events.add("progress", {"done": 3})
    set_published_state(lake, "demo", "ab" * 32)
    write_removal_list(lake, {})
    return lake


def damaged(lake):
    found = []
    for audit in audits(lake, is_keyed=True):
        for what, check in audit.checks():
            try:
                check()
            except (MedpipeError, FileNotFoundError) as error:
                found.append((audit.kind, f"{what} {error}"))
    return found


def kinds(lake):
    return [kind for kind, _ in damaged(lake)]


def test_everything_committed_is_read(full):
    counts = Counter({audit.kind: len(list(audit.checks())) for audit in audits(full, is_keyed=False)})
    assert counts == {
        "lake": 3,
        "volume": 2,
        "index": 3,
        "tables": 4,
        "segment": 2,
        "results": 4,
        "snapshot": 2,
        "model": 2,
        "run": 5,
        "private, not opened": 2,
    }
    assert damaged(full) == []


def test_an_empty_lake_is_whole(lake):
    assert damaged(lake) == []


def test_one_altered_byte_anywhere_is_found_and_its_file_named(full):
    draw = random.Random(7)
    files = [path for path in sorted(full.root.rglob("*")) if path.is_file() and "tables" not in path.parts]
    missed, flips = [], 0
    for path in files:
        name = path.relative_to(full.root).as_posix()
        if name in UNSUMMED:
            continue
        data = path.read_bytes()
        places = {0, len(data) - 1, len(data) // 2, *(draw.randrange(len(data)) for _ in range(3))}
        for place in places:
            altered = bytearray(data)
            altered[place] ^= draw.choice([1, 2, 16, 128, 255])
            path.write_bytes(altered)
            flips += 1
            if not any(names(line, name) for _, line in damaged(full)):
                missed.append((name, place))
        path.write_bytes(data)
    assert missed == []
    assert flips > 150
    assert damaged(full) == []


def names(line, name):
    """Tell whether a line names a file, or the folder that stands or falls with it."""
    folders = [parent.as_posix() for parent in Path(name).parents if len(parent.parts) > 1]
    return name in line or any(line.startswith(f"{folder} ") for folder in folders)


def test_a_volume_without_its_manifest_is_found(full):
    (min(full.root.glob("objects/??/*")) / "manifest.json").unlink()
    assert kinds(full) == ["volume"]


def test_a_file_that_was_added_to_a_volume_is_found(full):
    (min(full.root.glob("objects/??/*")) / "more").write_bytes(b"")
    assert kinds(full) == ["volume"]


def test_a_link_to_the_tables_that_is_gone_is_missed_once_a_run_has_ended(full):
    (full.root / "tables").unlink()
    assert kinds(full) == ["tables"]
    (full.root / "published" / "demo" / "STATE").unlink()
    assert damaged(full) == []


def test_a_segment_that_is_gone_is_missed_by_the_published_snapshot(full):
    min(full.root.glob("objects/segments/run-1/*")).unlink()
    assert kinds(full) == ["results"]


@pytest.mark.parametrize("pattern", ["objects/snapshots/*.zst", "objects/snapshots/ranges/*"])
def test_a_published_snapshot_that_is_gone_or_lacks_a_range_is_missed(full, pattern):
    min(full.root.glob(pattern)).unlink()
    assert "snapshot" in kinds(full)


def test_a_shard_of_the_index_that_is_gone_is_missed(full):
    min(full.root.glob("index/sources/s/volumes/*")).unlink()
    assert kinds(full) == ["index"]


def test_a_last_event_torn_by_a_kill_or_a_loss_of_power_is_no_damage(full):
    path = full.root / "runs" / "run-1" / "events" / "000001.jsonl"
    whole = path.read_bytes()
    for end in range(len(whole) // 2, len(whole)):
        for left in (whole[:end], whole[:end].ljust(len(whole), b"\0")):
            path.write_bytes(left)
            assert damaged(full) == []
    for altered in (whole[:-1] + b"x", whole[:-5] + b"x" + whole[-4:], b"\n" + whole):
        path.write_bytes(altered)
        assert kinds(full) == ["run"]
