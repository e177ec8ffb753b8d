"""A small lake that commands can be asked about."""

from __future__ import annotations

import pytest

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from medpipe.synth import make_archive
from tests.cli.commands import write_key

RECIPE = """
name = "small"
[[route]]
name = "ct"
where = { modality = "CT", kind = "volume" }
regions = [ { op = "body" } ]
features = [ { name = "lbp", op = "lbp" } ]
[[route]]
name = "store"
"""


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """Return a folder with a key, for commands that make none."""
    folder = tmp_path_factory.mktemp("home")
    write_key(folder)
    return folder


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    """Return the phantom archive of one study."""
    out = tmp_path_factory.mktemp("phantoms")
    make_archive(out, studies=1, seed=5)
    return out / "archive"


@pytest.fixture(scope="session")
def recipe(tmp_path_factory):
    """Return a small recipe file."""
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def lake(tmp_path_factory, archive, home, recipe):
    """Return a lake with published tables; nobody changes it."""
    root = tmp_path_factory.mktemp("lakes") / "lake"
    site = Site(engine="serial", workers=2, key_file=home / "medpipe" / "key")
    run_archive(RunRequest(recipe=str(recipe), archives=(archive,), lake=root, site=site), Silent())
    return root
