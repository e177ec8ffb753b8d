"""``python -m tests.reference [LAKE]``: the reference archive in a lake against the answers of readers, as a table."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.reference.answers import read_answers
from tests.reference.compare import compare, table
from tests.reference.published import Published


def main() -> int:
    """Print what differs; 1 if anything does."""
    parser = argparse.ArgumentParser(prog="python -m tests.reference", description=__doc__)
    parser.add_argument("lake", type=Path, nargs="?", help="an identified lake; left out, a run makes one and drops it")
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=beside, help="folder of expected.json, files.csv, rejects.csv")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="medpipe-reference-") as folder:
        lake = options.lake or _made(options.data / "archive", Path(folder))
        checks = compare(read_answers(options.data), Published(lake=lake))
    print(table(checks))
    return int(any(check.differs for check in checks))


def _made(archive: Path, folder: Path) -> Path:
    lake = folder / "lake"
    run = ["run", str(archive), "--lake", str(lake), "-r", "whole-archive", "--privacy", "identified"]
    # 2: complete, with subjects in quarantine, which this archive has
    done = subprocess.run(
        [sys.executable, "-m", "medpipe", *run], env={**os.environ, "XDG_CONFIG_HOME": folder}, check=False
    )
    if done.returncode not in {0, 2}:
        sys.exit(done.returncode)
    return lake


if __name__ == "__main__":
    sys.exit(main())
