"""``--retry``: what a limit ended runs again when the limit is raised."""

from __future__ import annotations

import json

import pytest

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Limits, Site
from medpipe.errors import ConfigError
from medpipe.synth import make_archive
from tests.app.runs import command, medpipe, rows

TOO_SHORT_S = 0.001


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
def test_retry_asks_for_the_newest_runs_command_again(bench, home):
    site = bench.recipe.with_name("site.toml")
    site.write_text("[limits]\ncase_s = 0.0001\n")
    arguments = ["--site", str(site), "--workers", "1"]
    medpipe(
        command([bench.archive], bench.lake, bench.recipe, *arguments, "--only", "modality = 'CT'"), home, exit_code=2
    )
    late = len(rows(bench.lake, "cases", code="E_TIMEOUT"))
    assert late >= 2
    again = medpipe(["retry", str(bench.lake), "--code", "E_TIMEOUT", *arguments, "--json"], home, exit_code=2)
    assert json.loads(again)["cases"]["executed"] == late


def test_a_code_that_is_none_is_refused(tmp_path):
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "file").write_text("x")
    request = RunRequest(
        recipe="whole-archive", archives=(tmp_path / "archive",), lake=tmp_path / "lake", retry=("E_NOTHING",)
    )
    with pytest.raises(ConfigError, match="no reason code"):
        run_archive(request, Silent())
    assert not (tmp_path / "lake").exists()
