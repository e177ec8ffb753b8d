"""One small archive, the lake of a run that nobody disturbed, and the lakes of disturbed ones."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.app.conftest import write_key
from tests.app.forks import Forks, Job
from tests.app.phantom import ct_slice, write
from tests.app.runs import command

SERIAL = ("--engine", "serial", "--workers", "1")

ENDED = 2
"""Exit code of an undisturbed run: one file of the archive is broken on purpose."""

RESUMABLE = 4

SEAL_CASES = 2
"""Results to a segment: so few that a kill finds some acknowledged and some not."""

RECIPE = """
name = "chaos"

[[route]]
name = "ct"
where = { modality = "CT", kind = ["volume"], min_slices = 3 }
image = [ { op = "window", preset = "soft_tissue" } ]
regions = [ { op = "body" } ]
features = [
    { name = "first", op = "ibsi", families = ["statistics"] },
    { name = "last", op = "ibsi", families = ["statistics"], image = "final" },
]
keep = [ "original", "final" ]

[[route]]
name = "store"
"""


CHANGE = ("soft_tissue", "lung")
"""The change of the recipe between a run and the run after it."""


def seal_often(_given: Mapping[str, Any]) -> None:
    """Let engines seal after few cases, and runs tell of each, before anything runs."""
    from medpipe.app import run
    from medpipe.engine.spec import EngineSpec

    defaults = EngineSpec.__init__.__kwdefaults__
    assert "seal_cases" in defaults
    defaults["seal_cases"] = SEAL_CASES
    run.PROGRESS_S = 0.0


@dataclass(frozen=True, slots=True)
class Act:
    """A command that may be killed: what it is, and the lake it begins with.

    Attributes
    ----------
    name : str
    before : str
        Name of the undisturbed lake it begins with; empty for none.
    ended : int
        Its exit code when nobody disturbs it.
    """

    name: str
    before: str
    ended: int


SCANNING = Act("calm", "", ENDED)
"""The first run, with its scan."""

RUN = Act("calm", "scanned", ENDED)
"""The first run, the scan being done: quicker, since no sandbox has to start."""

AGAIN = Act("again", "calm", ENDED)
"""A run of the same recipe with one parameter changed."""

GC = Act("collected", "again", 0)
"""The removal of what is out of reach."""


ACTS = (RUN, AGAIN, GC)
"""The commands whose fail points are met one by one."""


@dataclass(frozen=True)
class Arena:
    """An archive, a recipe, and one folder for lakes.

    Attributes
    ----------
    archive, recipe, folder, home : Path
    """

    archive: Path
    recipe: Path
    folder: Path
    home: Path

    @classmethod
    def make(cls, folder: Path, *, series: int = 6) -> Arena:
        """Write archive, recipes and key into a new folder."""
        folder.mkdir()
        for number in range(series):
            # noise goes by the letters of the name: no two of these have the same
            for place in range(4):
                write(ct_slice(place, series="a" * (number + 1)), folder / "archive" / f"{number}" / f"{place}.dcm")
        (folder / "archive" / "broken.dcm").touch()
        recipe = folder / "chaos.toml"
        recipe.write_text(RECIPE, encoding="utf-8")
        recipe.with_name("again.toml").write_text(RECIPE.replace(*CHANGE), encoding="utf-8")
        home = folder / "home"
        home.mkdir()
        write_key(home)
        return cls(folder / "archive", recipe, folder, home)

    def job(self, lake: Path, *prepare: str, act: Act = RUN, failpoint: str = "", **given: Any) -> Job:
        """Return an act by the serial engine, so that whatever is killed is the whole of it."""
        recipe = self.recipe.with_name("again.toml") if act == AGAIN else self.recipe
        collect = ["gc", str(lake), "--grace", "0"]
        return Job(
            arguments=collect if act == GC else command([self.archive], lake, recipe, *SERIAL),
            failpoint=failpoint,
            prepare=("tests.chaos.arena:seal_often", *prepare),
            given={"lake": str(lake), **given},
        )

    def new(self, name: str, act: Act = RUN) -> Path:
        """Return a lake as the act begins with it."""
        lake = self.folder / name
        shutil.rmtree(lake, ignore_errors=True)
        if act.before:
            shutil.copytree(self.folder / act.before, lake, symlinks=True)
        return lake

    def lake(self, act: Act) -> Path:
        """Return the lake in which nobody disturbed the act."""
        return self.folder / act.name

    def prepare(self, forks: Forks) -> None:
        """Make the undisturbed lakes."""
        scan = Job(arguments=["scan", str(self.archive), "--lake", str(self.folder / "scanned")])
        assert forks.run(scan) == 0, self.said()
        for act in ACTS:
            assert forks.run(self.job(self.new(act.name, act), act=act)) == act.ended, self.said()

    def said(self) -> str:
        """Return what all jobs printed."""
        return (self.home / "output").read_text(encoding="utf-8")
