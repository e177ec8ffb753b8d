from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medpipe.app.forget import forget_archive, forgettable
from medpipe.app.scan_state import known_sources
from medpipe.app.site import Site
from medpipe.errors import ConfigError, LakeError, StoppedError
from medpipe.lake.index import index_sources
from tests.app.conftest import write_key
from tests.app.forks import Job, run_jobs
from tests.app.runs import environment
from tests.app.scanning import Place


@pytest.fixture
def place(tmp_path: Path, home: Path) -> Place:
    """Return a lake of two archives; one of them is gone from its place."""
    place = Place(archive=tmp_path / "archive", lake=tmp_path / "lake", key=write_key(home))
    place.put_series("s1")
    place.scan()
    other = place.archive.with_name("other")
    shutil.copytree(place.archive, other)
    shutil.copytree(other / "s1", other / "copy")
    place.scan(archive=other)
    other.rename(place.archive.with_name("elsewhere"))
    return place


def gone(place: Place) -> str:
    return str(place.archive.with_name("other"))


def test_a_forgotten_archive_is_in_the_index_no_more_and_comes_back_when_it_is_scanned(place):
    before, sources = place.content(), known_sources(place.opened())
    found = forgettable(place.lake, gone(place), place.site())
    assert found.facts() == {"source": found.source, "files": 6, "series": 1, "volumes": 1}
    assert known_sources(place.opened()) == sources
    assert forget_archive(place.lake, gone(place), place.site()) == found
    assert {*known_sources(place.opened()), found.source} == set(sources)
    assert found.source not in known_sources(place.opened())
    assert place.content() == place.fresh()
    files = "\n".join(path.as_posix() for path in place.lake.rglob("*"))
    assert found.source not in files
    place.archive.with_name("elsewhere").rename(gone(place))
    place.scan(archive=Path(gone(place)))
    assert place.content() == before


def test_an_archive_is_forgotten_by_its_id_as_well(place):
    found = forgettable(place.lake, gone(place), place.site())
    forget_archive(place.lake, found.source, place.site())
    assert found.source not in known_sources(place.opened())
    assert place.content() == place.fresh()


def test_what_was_never_scanned_or_has_another_key_is_refused(place, tmp_path):
    before = place.files_of_index()
    for wrong in (str(place.archive / "s1"), "0" * 16, ""):
        with pytest.raises(ConfigError, match="was scanned into it: give its folder exactly"):
            forget_archive(place.lake, wrong, place.site())
    other = write_key(tmp_path / "else")
    other.write_text("7a" * 32 + "\n", encoding="ascii")
    with pytest.raises(LakeError):
        forget_archive(place.lake, gone(place), Site(key_file=other))
    with place.opened().driver(), pytest.raises(StoppedError, match="another run is working"):
        forget_archive(place.lake, gone(place), place.site())
    assert place.files_of_index() == before


def test_an_archive_is_forgotten_by_a_link_or_told_by_its_real_path(place, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(place.archive)
    assert forgettable(place.lake, str(link), place.site()).files == 3
    link.unlink()
    with pytest.raises(ConfigError, match="without links") as refusal:
        forgettable(place.lake, str(link), place.site())
    assert f"{place.archive} (" in str(refusal.value)
    assert f"{gone(place)} (" in str(refusal.value)


def test_a_kill_leaves_an_archive_known_or_forgotten(place, home, forks):
    found = forgettable(place.lake, gone(place), place.site())
    job = Job(arguments=["forget", str(place.lake), gone(place), "--json"], failpoint="forget.after_state:1")
    assert run_jobs(forks, [job], home) == [-signal.SIGKILL], (home / "output").read_text()
    assert found.source not in known_sources(place.opened())
    assert found.source in index_sources(place.opened())
    assert place.content() == place.fresh()
    place.scan()
    assert found.source not in index_sources(place.opened())


def test_the_command_says_what_it_takes_out(place, home):
    def said(*options: str) -> dict[str, object]:
        command = [sys.executable, "-m", "medpipe", "forget", str(place.lake), gone(place), "--json", *options]
        done = subprocess.run(command, env=environment(home), capture_output=True, timeout=120, check=True)
        return dict(json.loads(done.stdout))

    expected = forgettable(place.lake, gone(place), place.site()).facts()
    assert said("--dry-run") == expected
    assert said() == expected
    assert expected["source"] not in known_sources(place.opened())
