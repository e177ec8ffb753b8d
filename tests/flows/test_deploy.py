from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from medpipe.app.site import load_site
from tests.flows.conftest import ROOT, tables_digest

pytestmark = pytest.mark.timeout(180)

EXAMPLE = ROOT / "deploy" / "site.example.toml"


def test_the_example_of_a_site_file_is_accepted_and_names_every_field():
    site = load_site(EXAMPLE)
    assert site.limits.memory_mb == 24576
    assert site.cluster.address.startswith("tls://")
    assert site.cluster.tls_key == Path("/etc/medpipe/tls/client.key")
    tables = tomllib.loads(EXAMPLE.read_text())
    assert set(tables) == set(type(site).model_fields)
    assert set(tables["limits"]) == set(type(site.limits).model_fields)
    assert set(tables["cluster"]) == set(type(site.cluster).model_fields)


def test_a_line_of_the_example_may_be_left_out(tmp_path):
    lines = EXAMPLE.read_text().splitlines()
    for place, line in enumerate(lines):
        if re.match(r"\w+ = ", line) and not line.startswith("address"):
            file = tmp_path / "site.toml"
            file.write_text("\n".join([*lines[:place], *lines[place + 1 :]]))
            load_site(file)


@pytest.fixture(scope="module")
def deployment(bench, server):
    """Deploy the file as its first lines say; return what the server has of it."""
    made = prefect(bench, server, "work-pool", "create", "medpipe", "--type", "process")
    assert "medpipe" in made
    told = prefect(bench, server, "deploy", "--prefect-file", "deploy/prefect.yaml", "--name", "nightly")
    assert "successfully created" in told
    return json.loads(prefect(bench, server, "deployment", "inspect", "archive-run/nightly", "--output", "json"))


def prefect(bench, server, *arguments):
    done = bench.run("-m", "prefect", "--no-prompt", *arguments, **server.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_deployment_is_what_its_file_says(deployment):
    (schedule,) = deployment["schedules"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("0 1 * * *", "Etc/UTC")
    assert schedule["active"] is True
    assert deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert deployment["work_pool_name"] == "medpipe"
    assert deployment["parameters"] == {
        "recipe": "whole-archive",
        "archives": ["/data/archive"],
        "lake": "/data/lake",
        "site": "/etc/medpipe/site.toml",
    }
    assert deployment["job_variables"]["env"]["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


@pytest.mark.slow
def test_a_worker_runs_the_deployment(bench, server, deployment, by_command, tmp_path):
    given = {"archives": [str(bench.archive)], "lake": str(tmp_path / "lake"), "site": None}
    prefect(bench, server, "deployment", "run", "archive-run/nightly", "--params", json.dumps(given))
    output = prefect(bench, server, "worker", "start", "--pool", "medpipe", "--run-once")
    assert "Failed" not in output
    assert tables_digest(tmp_path / "lake") == by_command


@pytest.mark.slow
def test_a_copied_lake_opens_with_its_key_and_goes_on(bench, by_command, tmp_path):
    lake = bench.home / "by-command"
    shutil.copytree(lake, tmp_path / "restored", symlinks=True)
    again = ("-m", "medpipe", "run", str(bench.archive), "--lake", str(tmp_path / "restored"), "-r", "whole-archive")
    done = bench.run(*again, "--engine", "serial")
    assert done.returncode == 2, done.stderr
    assert "nothing to do" in done.stdout
    assert tables_digest(tmp_path / "restored") == by_command
    other = bench.run(*again, "--engine", "serial", XDG_CONFIG_HOME=str(tmp_path / "other"))
    assert other.returncode == 5
    assert "was made with key" in other.stderr


def test_the_guide_names_files_and_commands_that_exist(bench):
    text = (ROOT / "deploy" / "README.md").read_text()
    files = re.findall(r"deploy/[\w./-]+\.\w+", text)
    assert [name for name in files if not (ROOT / name).is_file()] == []
    known = set(re.findall(r"^\W*([a-z]+)  ", bench.run("-m", "medpipe", "--help").stdout, flags=re.MULTILINE))
    named = set(re.findall(r"medpipe ([a-z]+) /", text))
    assert {"run", "verify", "query"} <= named <= known
    codes = re.findall(r"^\| (\d) \|", text, flags=re.MULTILINE)
    assert sorted(codes) == ["0", "1", "2", "3", "4", "5"]
