"""``--retry``: what a limit ended runs again when the limit is raised."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from medpipe.app.prepare import RunRequest, last_request
from medpipe.app.progress import Silent
from medpipe.app.run import begin_run, run_archive
from medpipe.app.site import Limits, Site
from medpipe.errors import ConfigError, LakeError
from medpipe.synth import make_archive
from tests.app.phantom import noise_archive
from tests.app.runs import command, medpipe, rows
from tests.cli.commands import write_key

TOO_SHORT_S = 0.001
QUICK = """
name = "quick"
[[route]]
name = "ct"
image = [ { op = "window", preset = "soft_tissue" } ]
regions = [ { op = "body", opening_mm = 0.0 } ]
features = [ { name = "lbp", op = "lbp" } ]
"""


@pytest.mark.slow
def test_cases_that_took_too_long_run_again_when_they_may_take_longer(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    make_archive(tmp_path / "phantoms", studies=1, seed=5)

    def run(*retry, case_s):
        site = Site(engine="dask", workers=2, limits=Limits(case_s=case_s))
        archives = (tmp_path / "phantoms" / "archive",)
        request = RunRequest(
            recipe="whole-archive",
            archives=archives,
            lake=tmp_path / "lake",
            site=site,
            only="modality = 'CT' AND kind = 'volume'",  # each takes many times what a supervisor needs to look
            retry=retry,
        )
        return run_archive(request, Silent())

    first = run(case_s=TOO_SHORT_S)
    assert first.published.snapshot.counts["quarantined"] == first.planned == 2
    assert "E_TIMEOUT" in first.published.codes
    assert first.exit_code() == 2
    assert run(case_s=TOO_SHORT_S).executed == 0
    asked = run("E_TIMEOUT", case_s=TOO_SHORT_S)
    assert asked.executed == 2
    assert asked.published.new_subjects == 0  # known from before
    assert asked.exit_code(known_is_fine=True) == 0
    again = run(case_s=60.0)  # under another limit what failed is tried by itself
    assert (again.executed, again.published.snapshot.counts["committed"]) == (2, 2)
    assert "E_TIMEOUT" not in again.published.codes
    assert run("E_TIMEOUT", case_s=60.0).executed == 0
    assert "part that was chosen" in again.facts()["note"]


@pytest.mark.slow
def test_retry_asks_for_the_same_command_again_with_its_limits(bench, home):
    site = bench.recipe.with_name("site.toml")
    site.write_text("[limits]\ncase_s = 0.0001\n")
    arguments = ["--site", str(site), "--workers", "1"]
    medpipe(
        command([bench.archive], bench.lake, bench.recipe, *arguments, "--only", "modality = 'CT'"), home, exit_code=2
    )
    late = len(rows(bench.lake, "cases", code="E_TIMEOUT"))
    assert late >= 2
    again = medpipe(["retry", str(bench.lake), "--code", "E_TIMEOUT", "--json"], home, exit_code=2)
    assert json.loads(again)["cases"]["executed"] == late
    assert len(rows(bench.lake, "cases", code="E_TIMEOUT")) == late


@pytest.fixture
def asked(tmp_path):
    """Return a request for a small recipe over a small archive, under limits of its own."""
    (tmp_path / "recipe.toml").write_text(QUICK)
    site = Site(engine="serial", workers=1, key_file=write_key(tmp_path / "home"), limits=Limits(case_s=77.0))
    return RunRequest(
        recipe=str(tmp_path / "recipe.toml"),
        archives=(noise_archive(tmp_path / "archive"),),
        lake=tmp_path / "lake",
        site=site,
        limit=2,
    )


def test_retry_asks_for_what_readers_have_and_not_for_a_run_that_was_given_up(asked, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(QUICK.replace("soft_tissue", "lung"))
    key = Site(key_file=asked.site.key_file)
    with begin_run(replace(asked, recipe=str(other)), Silent()) as never:
        pass
    with pytest.raises(LakeError, match="no run is kept"):
        last_request(asked.lake, ("E_TIMEOUT",), site=key)
    first = run_archive(asked, Silent())
    found = last_request(asked.lake, ("E_TIMEOUT",), site=key)
    assert (found.request, found.run, found.passed) == (replace(asked, retry=("E_TIMEOUT",)), first.run, "")
    with begin_run(replace(asked, recipe=str(other)), Silent()) as given_up:
        pass
    assert run_archive(asked, Silent()).run == ""
    found = last_request(asked.lake, ("E_TIMEOUT",), site=key)
    assert (found.request.recipe, found.run, found.passed) == (asked.recipe, first.run, given_up.name)
    assert never.name < first.run < given_up.name
    passed, taken = found.lines()
    assert given_up.name in passed
    assert all(word in taken for word in (asked.recipe, str(asked.archives[0]), "limit 2", "77 s"))


def test_retry_keeps_the_site_of_the_run_unless_another_is_named(asked):
    run_archive(asked, Silent())
    key = Site(key_file=asked.site.key_file)
    assert last_request(asked.lake, ("E_TIMEOUT",), site=key).request.site == asked.site
    assert last_request(asked.lake, ("E_TIMEOUT",), site=key, takes_site=True).request.site == key


def test_a_code_that_is_none_is_refused(tmp_path):
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "file").write_text("x")
    request = RunRequest(
        recipe="whole-archive", archives=(tmp_path / "archive",), lake=tmp_path / "lake", retry=("E_NOTHING",)
    )
    with pytest.raises(ConfigError, match="no reason code"):
        run_archive(request, Silent())
    assert not (tmp_path / "lake").exists()
