from __future__ import annotations

import subprocess
import sys

import pytest

COMMAND = """
import sys
from medpipe.cli.main import run
code = run(sys.argv[1:])
print(code, sorted({name.partition(".")[0] for name in sys.modules} & {"prefect", "flows", "distributed", "uvicorn"}))
"""


@pytest.mark.slow
def test_a_run_from_the_command_line_never_imports_prefect(bench, tmp_path):
    done = bench.run(
        *("-c", COMMAND, "run", str(bench.archive), "--lake", str(tmp_path / "lake"), "-r", "whole-archive"),
        *("--only", "modality = 'PT'"),
    )
    # Dask is there, so that this would see Prefect
    assert done.stdout.splitlines()[-1] == "2 ['distributed']", done.stderr


@pytest.mark.parametrize("module", ["medpipe", "medpipe.cli.main", "medpipe.app.run", "medpipe.app.demo"])
def test_no_room_of_medpipe_brings_prefect(module):
    code = f"import sys, {module}; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
