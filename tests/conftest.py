"""Fixtures every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=12, help="kills at random instants in tests/chaos (default: 12)")
    parser.addoption("--rounds", type=int, default=1, help="kills of each part of a Dask run (default: 1)")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Return the folder of reference data, or skip with the reason."""
    named = os.environ.get("MEDPIPE_TEST_DATA")
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(named) if named else beside
    if not (root / "expected.json").is_file():
        pytest.skip(f"reference data not found at {root} (set MEDPIPE_TEST_DATA)")
    return root
