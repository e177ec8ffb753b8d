"""Fixtures every room's tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from medpipe.engine.numeric import pinned_environment
from medpipe.errors import ConfigError
from medpipe.xp import resolve_device
from tests.device.standing import stand_in


def pytest_configure(config: pytest.Config) -> None:
    """Let the processes that share the tests compute as sandboxes do, so that all compile for one processor.

    Their hash seed stays as it was: no order may rest on it, and commands still have to pin themselves.
    """
    os.environ.update({name: text for name, text in pinned_environment().items() if name != "PYTHONHASHSEED"})


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


@pytest.fixture(scope="module", params=[pytest.param("device", marks=pytest.mark.gpu), "stand-in"])
def cuda(request: pytest.FixtureRequest) -> Iterator[str]:
    """Let CuPy be there: on a device, where there is one, and as the strict stand-in; tells which."""
    if request.param == "stand-in":
        with stand_in():
            yield "stand-in"
        return
    try:
        resolve_device("cuda")
    except ConfigError as error:
        pytest.skip(str(error))
    yield "device"
