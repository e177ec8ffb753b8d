"""What is sealed of an archive and is torn or gone: an alarm that names the way back, never a wrong key or a bug."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from medpipe.app.verify import verify_lake
from medpipe.errors import IntegrityError
from tests.app.conftest import write_key
from tests.app.scanning import Place, structure_set

TABLES = ("instances", "members", "series", "volumes")
KINDS = ["headers/*", "locators/*", "companions/*", "objects/*", "objects.*", "files.*", "dates.*", "hosts.*"]


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a scanned archive with everything that is ever sealed; a test that takes or alters a file puts it back."""
    folder = tmp_path_factory.mktemp("sealed")
    made = Place(archive=folder / "archive", lake=folder / "lake", key=write_key(folder / "home"))
    made.put_series("one")
    made.put("two/structures.dcm", structure_set("two", of_study="one"))
    made.scan()
    return made


@pytest.fixture
def place(scanned: Place, tmp_path: Path) -> Place:
    """Return the same with a lake of its own."""
    shutil.copytree(scanned.lake, tmp_path / "lake")
    return replace(scanned, lake=tmp_path / "lake")


def sealed(place: Place) -> dict[str, Path]:
    """Return the sealed files by kind."""
    return {kind: file for kind in (*KINDS, "state") for file in place.lake.glob(f"private/sources/*/{kind}.sealed")}


def flip(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])


def do_as_said(place: Place, message: str) -> None:
    """Remove what a message says, and scan."""
    found = re.search(r"remove the folder (private/sources/[0-9a-f]+) and scan again", message)
    assert found is not None, message
    shutil.rmtree(place.lake / found[1])
    place.scan()


@pytest.mark.parametrize("kind", ["headers/*", "files.*", "state"])
def test_a_sealed_file_that_rotted_stops_the_scan_that_needs_it_and_there_is_a_way_back(place, kind):
    before, file = place.content(), sealed(place)[kind]
    flip(file)
    os.utime(place.archive / "one" / "a" / "0.dcm")
    with pytest.raises(IntegrityError, match="torn or altered") as alarm:
        place.scan()
    assert file.relative_to(place.lake).as_posix() in str(alarm.value)
    do_as_said(place, str(alarm.value))
    assert {name: place.content()[name] for name in TABLES} == {name: before[name] for name in TABLES}
    assert verify_lake(place.lake, site=place.site())["damaged"] == []


def test_every_sealed_file_that_rotted_is_named_with_the_way_back(place):
    files = sealed(place)
    for file in files.values():
        flip(file)
    lines = verify_lake(place.lake, site=place.site(), only=["private"])["damaged"]
    for file in files.values():
        name = file.relative_to(place.lake).as_posix()
        assert any(f"{name}: it is torn or altered; remove the folder private/sources/" in line for line in lines)
    assert sorted(files) == sorted([*KINDS, "state"])


def test_every_sealed_file_that_is_gone_is_missed_by_the_next_scan_and_by_verify(place):
    before = place.content()
    for kind in KINDS:
        file = sealed(place)[kind]
        data = file.read_bytes()
        file.unlink()
        with pytest.raises(IntegrityError, match="it is missing") as alarm:
            place.scan()
        (line,) = verify_lake(place.lake, site=place.site(), only=["private"])["damaged"]
        assert f"{file.relative_to(place.lake).as_posix()}: it is missing" in str(alarm.value)
        assert str(alarm.value) in line
        file.write_bytes(data)
        lacking = line
    file.unlink()
    do_as_said(place, lacking)
    assert {name: place.content()[name] for name in TABLES} == {name: before[name] for name in TABLES}
