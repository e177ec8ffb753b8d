"""What a user may get wrong: one clear line, the documented exit code, nothing lost."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess

import pytest

from medpipe.cli import main
from medpipe.lake.lake import Lake
from medpipe.privacy.secret import load_secret
from tests.app.phantom import content, noise_archive, tables
from tests.cli.commands import Ended, medpipe, write_key

RECIPE = """
name = "mine"
[[route]]
name = "ct"
regions = [ { op = "body", opening_mm = 0.0 } ]
features = [ { name = "lbp", op = "lbp" } ]
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Return a folder with an archive, a recipe, a key and a lake of a finished run; nobody changes it."""
    folder = tmp_path_factory.mktemp("given")
    noise_archive(folder / "archive")
    (folder / "recipe.toml").write_text(RECIPE)
    write_key(folder / "home")
    ended = medpipe(*run_words(folder), home=folder / "home")
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture
def place(given, tmp_path):
    """Return a copy of it that may be spoilt."""
    folder = tmp_path / "place"
    shutil.copytree(given, folder, symlinks=True)
    return folder


def run_words(folder, *more, **changes):
    words = {"archive": folder / "archive", "lake": folder / "lake", "recipe": folder / "recipe.toml", **changes}
    return ["run", words["archive"], "--lake", words["lake"], "-r", words["recipe"], "--workers", "2", *more]


@pytest.fixture
def refused(place, monkeypatch, capsys):
    """Return a check: a command is refused in one line with its code, and changed nothing."""

    def check(words, *, code, said, before=(), but="\0"):
        was = content(place)
        if before:
            ended = medpipe(*words, home=place / "home", before=before)
        else:
            monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "home"))
            code_found = main.run([str(word) for word in words])
            ended = Ended(code_found, *capsys.readouterr())
        line = ended.refusal()
        assert ended.code == code, line
        assert all(word in line for word in said), line
        now = content(place)
        changed = {name for name in was.keys() | now.keys() if was.get(name) != now.get(name)}
        assert {name for name in changed if not name.startswith(but)} == set()
        return line

    return check


# archives -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("archive", "code", "said"),
    [
        ("nowhere", 5, ["nowhere", "no such folder"]),
        ("recipe.toml", 5, ["recipe.toml", "is a file, not a folder"]),
        ("home/empty", 5, ["home/empty", "holds no file", "check the path"]),
        ("", 5, ["lies in archive", "choose another folder"]),
        ("lake/objects", 5, ["lies in lake", "move one of them"]),
    ],
)
@pytest.mark.parametrize("verb", ["run", "scan"])
def test_an_archive_that_cannot_be_one_is_refused(place, refused, archive, code, said, verb):
    (place / "home" / "empty").mkdir()
    lake = place / "lake" if archive in {"", "lake/objects"} else place / "fresh"
    words = run_words(place, archive=place / archive, lake=lake)
    if verb == "scan":
        words = ["scan", place / archive, "--lake", lake]
    refused(words, code=code, said=said)


def test_an_archive_that_was_emptied_stops_and_loses_nothing(place, refused):
    assert medpipe("scan", place / "archive", "--lake", place / "lake", home=place / "home").code == 0
    shutil.rmtree(place / "archive")
    (place / "archive").mkdir()
    refused(run_words(place), code=4, said=["is empty, but held 18 files", "is it mounted?"], but="lake/locks")


@pytest.fixture
def unprivileged():
    """Return the words that take a superuser's right to ignore permissions away."""
    if os.geteuid() != 0:
        return ()
    words = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
    done = subprocess.run([*words, "true"], capture_output=True, check=False) if shutil.which("setpriv") else None
    if done is None or done.returncode:
        pytest.skip("a superuser's right to ignore permissions cannot be taken away here")
    return words


@pytest.mark.parametrize("closed", ["archive", "."])
def test_an_archive_that_may_not_be_read_stops(place, refused, unprivileged, closed):
    inner = place / "outer"
    inner.mkdir()
    shutil.move(place / "archive", inner / "archive")
    shut = inner / ("archive" if closed == "archive" else "")
    words = run_words(place, archive=inner / "archive", lake=place / "fresh")
    shut.chmod(0)
    try:
        ended = medpipe(*words, home=place / "home", before=unprivileged)
    finally:
        shut.chmod(0o755)
    line = ended.refusal()
    assert ended.code == 4
    assert str(inner / "archive") in line
    assert "check " in line
    assert not (place / "fresh").exists()


# recipes and sites ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('op = "lbp"', 'op = "lbp", reach = 3', ["route.0.features.0.reach", "no such parameter"]),
        ("opening_mm = 0.0", 'opening_mm = "2"', ["route.0.regions.0.opening_mm", "a number"]),
        ("opening_mm = 0.0", "opening_mm = -1.0", ["route.0.regions.0.opening_mm", "below 0.0 mm"]),
        ('op = "body"', 'op = "skin"', ["route.0.regions.0.op", "'skin'", "known: body"]),
        ('name = "ct"', 'name = "ct"\nworkers = 2', ["route.0.workers", "no such field"]),
        ('name = "ct"', 'name = "ct"\nmodels = ["oracle"]', ["route.0.models.0", "'oracle'", "phantom-ct-noise"]),
        ('name = "ct"', 'name = "ct"\nmodels = ["phantom-ct-noise@123456"]', ["route.0.models.0", "no model of this"]),
        ('name = "ct"', "name = ", ["recipe.toml", "not valid TOML", "line 4"]),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_is_made(place, refused, before, after, said):
    recipe = place / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(before, after, 1))
    refused(run_words(place, lake=place / "fresh"), code=5, said=said)


def test_a_missing_recipe_is_refused_with_those_there_are(place, refused):
    words = run_words(place, recipe="nowhere.toml", lake=place / "fresh")
    refused(words, code=5, said=["nowhere.toml", "no such file", "whole-archive"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("wokers = 2", ["site.wokers", "no such field"]),
        ("workers = 0", ["site.workers", "greater than or equal to 1"]),
        ("[limits]\ncase_s = 'long'", ["site.limits.case_s", "number"]),
        ("[cluster]\naddress = 5", ["site.cluster.address", "string"]),
        ("workers =", ["site.toml", "not valid TOML"]),
        (None, ["site.toml", "no such file"]),
        ("key_file = '/nowhere/key'", ["/nowhere/key", "cannot be read", "check the path"]),
        ("device = 'tpu'", ["site.device", "'auto', 'cpu' or 'cuda'"]),
    ],
)
def test_a_wrong_site_is_refused_before_anything_is_made(place, refused, text, said):
    site = place / "site.toml"
    if text is not None:
        site.write_text(text)
    refused(run_words(place, "--site", site, lake=place / "fresh"), code=5, said=said)


def test_a_site_that_is_a_folder_is_refused(place, refused):
    words = run_words(place, "--site", place / "home", lake=place / "fresh")
    refused(words, code=5, said=["site", "home", "cannot be read"])


@pytest.mark.parametrize(
    ("only", "said"),
    [
        ("nosuch = 1", ["--only", "nosuch"]),
        ("modality = ", ["--only", "syntax error"]),
        ("modality = 'CT'; DROP TABLE volumes", ["--only"]),
        ("read_text('/etc/hostname') IS NOT NULL", ["--only"]),
    ],
)
def test_a_wrong_condition_is_refused_before_anything_is_made(place, refused, only, said):
    refused(run_words(place, "--only", only, lake=place / "fresh"), code=5, said=said)


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed here")
def test_a_device_without_its_library_is_refused_and_names_the_extra(place, refused):
    words = run_words(place, "--device", "cuda", lake=place / "fresh")
    refused(words, code=5, said=["cuda", "CuPy is not installed", "medpipe[gpu]"])


# lakes and keys -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lake", "said"),
    [
        ("recipe.toml", ["recipe.toml is a file, not a folder", "choose a folder"]),
        ("home", ["home is not empty and is no lake", "choose an empty or new folder"]),
    ],
)
def test_a_lake_is_made_in_no_file_and_in_no_other_folder(place, refused, lake, said):
    refused(run_words(place, lake=place / lake), code=5, said=said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format_version": 99}, ["format version 99", "use the medpipe that made it"]),
        ({"privacy": "none"}, ["lake.json is damaged", "backup"]),
        ({"key_id": None}, ["lake.json is damaged", "backup"]),
    ],
)
@pytest.mark.parametrize("verb", ["run", "query"])
def test_a_lake_of_another_kind_is_refused(place, refused, change, said, verb):
    description = place / "lake" / "lake.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), **change}))
    words = run_words(place) if verb == "run" else ["query", place / "lake", "SELECT 1"]
    refused(words, code=5, said=said)


def test_a_lake_of_another_privacy_is_refused(place, refused):
    words = run_words(place, "--privacy", "identified")
    refused(words, code=5, said=["pseudonymized lake", "identified was asked for", "use another lake"])


def test_a_lake_of_another_key_is_refused(place, refused):
    (place / "home" / "medpipe" / "key").write_text("6" * 64)
    mine = load_secret(place / "home" / "medpipe" / "key").key_id
    refused(run_words(place), code=5, said=["was made with key", f"not with {mine}", "name the lake's own key"])


@pytest.mark.parametrize(
    ("mode", "text", "said"),
    [
        (0o640, "5" * 64, ["can be read or written by others", "chmod 600"]),
        (0o602, "5" * 64, ["can be read or written by others", "chmod 600"]),
        (0o600, "secret", ["holds no key", "64 hexadecimal digits"]),
        (0o600, "", ["holds no key"]),
    ],
)
def test_a_key_that_cannot_be_trusted_is_refused(place, refused, mode, text, said):
    key = place / "home" / "medpipe" / "key"
    key.write_text(text)
    key.chmod(mode)
    line = refused(run_words(place), code=5, said=[str(key), *said])
    assert "5555" not in line


def test_a_second_driver_is_sent_away(place, refused):
    lake = Lake.open(place / "lake")
    with lake.driver():
        refused(run_words(place), code=4, said=["another run is working on this lake", f"pid {os.getpid()}", "wait"])


@pytest.mark.parametrize("lake", ["lake", "fresh"])
def test_a_lake_that_may_not_be_written_is_refused(place, refused, unprivileged, lake):
    shut = [place, *(path for path in (place / "lake").rglob("*") if path.is_dir()), place / "lake"]
    modes = {path: path.stat().st_mode for path in shut}
    for path in shut:
        path.chmod(0o555)
    try:
        said = ["permission denied", "make the lake's folder writable"]
        # a change to the recipe, so that there is something to write
        recipe = place / "home" / "other.toml"
        recipe.write_text(RECIPE.replace("opening_mm = 0.0", "opening_mm = 1.0"))
        refused(
            run_words(place, lake=place / lake, recipe=recipe), code=5, said=said, before=unprivileged, but="lake/locks"
        )
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


# disks ----------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    """Mount a small disk, or skip with the reason."""
    point = tmp_path / "disk"
    point.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(point)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here ({type(error).__name__})")
    yield point
    subprocess.run(["umount", "--lazy", str(point)], check=True)


def remount(point, option):
    subprocess.run(["mount", "-o", f"remount,{option}", str(point)], check=True, capture_output=True)


@pytest.mark.slow
def test_a_disk_that_fills_stops_and_the_same_command_resumes(given, disk):
    words = run_words(given, lake=disk / "lake")
    for size in ("64k", "160k", "320k"):
        remount(disk, f"size={size}")
        ended = medpipe(*words, home=given / "home")
        line = ended.refusal()
        assert ended.code == 4, line
        assert "no space is left" in line
        assert "make room" in line
        assert "same command again" in line
    remount(disk, "size=64m")
    assert medpipe(*words, home=given / "home").code == 0
    assert tables(disk / "lake") == tables(given / "lake")
    assert medpipe("verify", disk / "lake", home=given / "home").code == 0


def test_a_read_only_disk_stops_and_still_answers(given, disk):
    remount(disk, "size=64m")
    shutil.copytree(given / "lake", disk / "lake", symlinks=True)
    remount(disk, "ro")
    ended = medpipe(*run_words(given, lake=disk / "lake"), home=given / "home")
    assert ended.code == 4
    assert "read-only" in ended.refusal()
    assert medpipe("query", disk / "lake", "SELECT count(*) FROM volumes", home=given / "home").code == 0
