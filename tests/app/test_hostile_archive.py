"""An archive laid out to lead a scan astray: links, pipes, devices, odd names, identifiers that look like paths."""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress

import pytest

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from medpipe.app.verify import verify_lake
from tests.app.phantom import content, ct_slice, rows, uid, write
from tests.cli.commands import write_key

RECIPE = """
name = "hostile"
[[route]]
name = "all"
regions = [ { op = "body" } ]
features = [ { name = "first", op = "ibsi", families = ["statistics"] } ]
"""
NAMES = (
    b"line\nbreak",
    b"caf\xe9 latin",
    b"\xff\xfe",
    b"n" * 255,
    "文".encode() * 85,
    b"-rf",
    b"100%41",
    b"  ",
    b"\xe2\x80\xaetxt.mcd",
    b"$(id);`id`",
    b"a\\b",
    b"'; --",
)
IDENTIFIERS = ("../../../../etc/passwd", "..", "/etc/passwd", "a/../b", "1.2\n3", "x" * 3000, "%2e%2e%2f", "")


def make_tree(archive, outside):
    """Make the archive; return how each path that is no image has to end."""
    for place, name in enumerate(NAMES):
        folder = archive / "odd" / os.fsdecode(name)
        write(ct_slice(place, series="odd names"), folder.parent / f"{place}.tmp")
        (folder.parent / f"{place}.tmp").replace(folder)
    for place, said in enumerate(IDENTIFIERS):
        named = dict.fromkeys(("SeriesInstanceUID", "StudyInstanceUID", "PatientID", "FrameOfReferenceUID"), said)
        write(ct_slice(place, series=f"said {place}", **named), archive / "said" / f"{place}")
    write(ct_slice(1, series="outside"), outside / "image")
    links = {"file": outside / "image", "folder": outside, "loop": archive, "nowhere": outside / "none", "up": ".."}
    (archive / "links").mkdir()
    for name, to in links.items():
        (archive / "links" / name).symlink_to(to)
    os.mkfifo(archive / "pipe")
    wanted = {f"links/{name}": ("skipped", "E_SYMLINK") for name in links} | {"pipe": ("skipped", "E_SPECIAL_FILE")}
    with socket.socket(socket.AF_UNIX) as door:
        here = os.open(archive, os.O_RDONLY)
        door.bind(f"/proc/self/fd/{here}/door")
        os.close(here)
    wanted["door"] = "skipped", "E_SPECIAL_FILE"
    with suppress(PermissionError):  # only a superuser makes devices
        os.mknod(archive / "zeros", 0o666 | 0o020000, os.makedev(1, 5))
        wanted["zeros"] = "skipped", "E_SPECIAL_FILE"
    return wanted


@pytest.mark.timeout(120)
@pytest.mark.parametrize("privacy", ["identified", "pseudonymized"])
def test_every_entry_has_its_row_and_nothing_leads_outside(tmp_path, privacy):
    archive, outside, lake = tmp_path / "archive", tmp_path / "outside", tmp_path / "lake"
    wanted = make_tree(archive, outside)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    site = Site(engine="serial", workers=2, key_file=write_key(tmp_path / "home"), privacy=privacy)
    before = names_beside(lake)
    run_archive(RunRequest(recipe=str(tmp_path / "recipe.toml"), archives=(archive,), lake=lake, site=site), Silent())
    assert names_beside(lake) == before
    instances = rows(lake, "instances")
    assert len(instances) == len(wanted) + len(NAMES) + len(IDENTIFIERS)
    others = sorted((row["outcome"], row["code"]) for row in instances if row["outcome"] != "used")
    assert others == sorted(wanted.values())
    assert all(re.fullmatch(r"[A-Za-z0-9._=-]{1,100}", part) for path in content(lake) for part in path.split("/"))
    assert verify_lake(lake, site=site)["damaged"] == []
    if privacy == "identified":
        found = {row["path"]: (row["outcome"], row["code"]) for row in instances}
        assert wanted.items() <= found.items()
        assert uid("series", "outside") not in {row["series_instance_uid"] for row in rows(lake, "series")}


def names_beside(lake):
    return {path for path in content(lake.parent) if path.split("/")[0] != lake.name}
