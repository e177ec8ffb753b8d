"""What verify finds in the lake of a real run: every byte counts."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from medpipe.app.verify import KINDS, verify_lake
from medpipe.errors import ConfigError, LakeError
from tests.app.phantom import ct_slice, write
from tests.cli.commands import medpipe, write_key

RECIPE = """
name = "mine"
[[route]]
name = "ct"
image = [ { op = "gaussian", sigma_mm = 2.0 } ]
regions = [ { op = "body", opening_mm = 0.0 } ]
features = [ { name = "first", op = "ibsi", families = ["statistics"] } ]
keep = [ "original", "final" ]
"""
UNSUMMED = {"locks/driver.lock"}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Return (lake, site, home) of a run; a test that alters a byte puts it back."""
    folder = tmp_path_factory.mktemp("verify")
    for series in range(3):
        for place in range(3):
            write(ct_slice(place, series=str(series), size=16), folder / "archive" / str(series) / f"{place}.dcm")
    (folder / "recipe.toml").write_text(RECIPE)
    site = Site(engine="serial", workers=1, key_file=write_key(folder / "home"))
    request = RunRequest(
        recipe=str(folder / "recipe.toml"), archives=(folder / "archive",), lake=folder / "lake", site=site
    )
    run_archive(request, Silent())
    return folder / "lake", site, folder / "home"


def files(lake):
    """Return the paths of all files in a lake that verify answers for."""
    paths = (path for path in sorted(lake.rglob("*")) if path.is_file() and not path.is_symlink())
    names = (path.relative_to(lake).as_posix() for path in paths)
    return [name for name in names if not name.startswith("tables/") and name not in UNSUMMED]


def test_a_lake_as_a_run_left_it_is_whole_and_every_kind_was_looked_at(ran):
    lake, site, _ = ran
    found = verify_lake(lake, site=site)
    assert found.pop("damaged") == []
    assert set(found) == set(KINDS)
    assert all(count > 0 for kind, count in found.items() if kind != "model")


def altered_byte(path, place, change):
    data = path.read_bytes()
    path.write_bytes(data[:place] + bytes([data[place] ^ change]) + data[place + 1 :])
    return data


def test_one_altered_byte_in_any_file_is_found_and_named(ran):
    lake, site, _ = ran
    draw = random.Random(3)
    missed = []
    for name in files(lake):
        path = lake / name
        for place in {0, path.stat().st_size - 1, draw.randrange(path.stat().st_size)}:
            whole = altered_byte(path, place, draw.choice([1, 4, 32, 128, 255]))
            lines = verify_lake(lake, site=site)["damaged"]
            path.write_bytes(whole)
            if not any(named(name, line) for line in lines):
                missed.append((name, place))
    assert missed == []
    assert verify_lake(lake, site=site)["damaged"] == []


def named(name, line):
    """Tell whether a line names a file, or the folder that stands or falls with it."""
    folders = [parent.as_posix() for parent in Path(name).parents if len(parent.parts) > 1]
    return name in line or any(f" {folder}: " in line for folder in folders)


@pytest.mark.long
def test_every_place_of_every_kind_of_file_counts(ran):
    lake, site, _ = ran
    draw = random.Random(5)
    by_kind = {}
    for name in files(lake):
        by_kind.setdefault((name.split("/")[0], Path(name).suffix, len(Path(name).parts)), name)
    flips = 0
    for name in by_kind.values():
        path = lake / name
        for place in draw.sample(range(path.stat().st_size), min(40, path.stat().st_size)):
            whole = altered_byte(path, place, 1 << draw.randrange(8))
            assert verify_lake(lake, site=site)["damaged"], (name, place)
            path.write_bytes(whole)
            flips += 1
    assert flips > 500


@pytest.mark.parametrize(
    "name", ["lake.json", "published/mine/LATEST", "private/sources/*/state.sealed", "runs/*/SNAPSHOT"]
)
def test_the_command_names_an_altered_file_and_leaves_with_3(ran, name):
    lake, _, home = ran
    path = next(lake.glob(name))
    whole = altered_byte(path, 5, 2)
    try:
        ended = medpipe("verify", lake, "--json", home=home)
    finally:
        path.write_bytes(whole)
    assert ended.code == 3
    assert any(path.relative_to(lake).as_posix() in line for line in json.loads(ended.out)["damaged"])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("objects/??/*/0/zarr.json", "volume"),
        ("objects/segments/*/*", "results"),
        ("objects/snapshots/ranges/*", "snapshot"),
        ("index/sources/*/volumes/*", "index"),
        ("published/mine/*/volumes/*", "tables"),
        ("private/sources/*/headers/*", "private"),
    ],
)
def test_a_file_that_is_gone_is_missed(ran, name, kind):
    lake, site, _ = ran
    path = next(lake.glob(name))
    whole = path.read_bytes()
    path.unlink()
    try:
        lines = verify_lake(lake, site=site)["damaged"]
    finally:
        path.write_bytes(whole)
    assert kind in {line.split()[0] for line in lines}


def test_without_the_key_sealed_blobs_are_counted_and_not_opened(ran, tmp_path, monkeypatch):
    lake, site, _ = ran
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    found = verify_lake(lake)
    assert found["damaged"] == []
    assert "private" not in found
    assert found["private, not opened"] == verify_lake(lake, site=site)["private"]
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_the_site_names_must_be_the_lakes_own(ran, tmp_path):
    with pytest.raises(LakeError, match="was made with key"):
        verify_lake(ran[0], site=Site(key_file=write_key(tmp_path, "6")))


def test_one_kind_can_be_verified_by_itself(ran):
    lake, site, _ = ran
    assert set(verify_lake(lake, site=site, only=["segment", "private"])) == {"segment", "private", "damaged"}
    with pytest.raises(ConfigError, match="no such kind"):
        verify_lake(lake, site=site, only=["everything"])


def test_a_run_that_was_killed_while_it_began_leaves_no_damage(ran):
    lake, site, _ = ran
    (lake / "runs" / "20990101T000000000-ffff").mkdir()
    try:
        assert verify_lake(lake, site=site)["damaged"] == []
    finally:
        (lake / "runs" / "20990101T000000000-ffff").rmdir()
