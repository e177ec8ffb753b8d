"""Verifying a lake on which others are at work: what they replaced and removed is no damage."""

from __future__ import annotations

from datetime import timedelta

import pytest

from medpipe.app import verify
from medpipe.app.gc import collect_garbage
from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import RetentionTable, Site
from medpipe.app.verify import KINDS, verify_lake
from tests.app.phantom import ct_slice, write
from tests.cli.commands import write_key

RECIPE = """
name = "mine"
[[route]]
name = "store"
"""


class Works(Silent):
    """Counts, and has something done at the first check of every kind: what the others will look at was listed then."""

    def __init__(self, work=lambda: None):
        self.totals, self.counts = {}, {}
        self._work = work

    def stage(self, name, total):
        self._kind = name.removeprefix("verify ")
        self.totals[self._kind], self.counts[self._kind] = total, 0

    def advance(self, steps=1):
        self.counts[self._kind] += steps
        if self.counts[self._kind] == 1:
            self._work()


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Return what changes every file, runs, and removes at once what is not needed any more; the lake; the site."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "recipe.toml").write_text(RECIPE)
    site = Site(
        engine="serial",
        workers=1,
        key_file=write_key(folder / "home"),
        retention=RetentionTable(snapshots=1, runs=1, superseded_volumes="drop", superseded_results="drop"),
    )
    request = RunRequest(
        recipe=str(folder / "recipe.toml"), archives=(folder / "archive",), lake=folder / "lake", site=site
    )
    slopes = iter(range(1, 100))

    def change():
        slope = float(next(slopes))
        for place in range(3):
            write(ct_slice(place, size=16, RescaleSlope=slope), folder / "archive" / f"{place}.dcm")
        run_archive(request, Silent())
        for _ in range(2):
            collect_garbage(request.lake, site, Silent(), grace=timedelta(0))

    change()
    return change, request.lake, site


def test_as_many_checks_are_told_as_were_announced_and_are_counted(work):
    _, lake, site = work
    progress = Works()
    found = verify_lake(lake, site=site, progress=progress)
    assert progress.counts == {kind: found[kind] for kind in KINDS}
    assert progress.totals["volume"] == found["volume"]


@pytest.mark.parametrize(
    "kinds", [["private"], pytest.param([kind for kind in KINDS if kind != "private"], marks=pytest.mark.slow)]
)
def test_nothing_is_called_damaged_because_others_are_at_work(work, kinds):
    change, lake, site = work
    assert verify_lake(lake, site=site, only=kinds, progress=Works(change))["damaged"] == []


def test_a_scan_that_ends_while_verify_looks_for_what_is_missing_is_no_damage(work, monkeypatch):
    change, lake, site = work
    looks = []

    def named_then_changed(opened):
        named = live_private(opened)
        if not looks:
            change()
        looks.append(named)
        return named

    live_private = verify.live_private
    monkeypatch.setattr(verify, "live_private", named_then_changed)
    assert verify_lake(lake, site=site, only=["private"])["damaged"] == []
    assert looks[0] != looks[-1]
