"""Fixtures of the lake's tests: an empty lake, its key, small volumes and results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medpipe.contracts.records import CaseRecord, CaseResult, ProductRecord
from medpipe.keys import digest
from medpipe.lake.lake import Lake
from medpipe.privacy.secret import Secret
from medpipe.types import Geometry, Volume

SECRET = Secret(bytes(range(32)))


@pytest.fixture
def secret() -> Secret:
    """Return a fixed key."""
    return SECRET


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return a new pseudonymized lake."""
    return Lake.create(tmp_path / "lake", privacy="pseudonymized", secret=SECRET)


@pytest.fixture(scope="session")
def make_volume() -> Callable[..., Volume]:
    """Return a maker of volumes: whole numbers, spacing (3, 0.5, 0.25) mm, a position."""

    def make(data=None, *, shape=(5, 7, 9), axes="zyx", affine=True) -> Volume:
        if data is None:
            data = np.random.default_rng(1).integers(-1000, 2000, shape).astype(np.float32)
        position = (0.25, 0, 0, -10.0, 0, 0.5, 0, -20.0, 0, 0, 3.0, 30.0, 0, 0, 0, 1)
        geometry = Geometry(
            shape=data.shape, axes=axes, spacing_mm=(3.0, 0.5, 0.25), affine_lps=position if affine else None
        )
        return Volume(data=data, geometry=geometry, unit="HU", modality="CT")

    return make


@pytest.fixture(scope="session")
def make_result() -> Callable[..., CaseResult]:
    """Return a maker of done cases with one product, by number."""

    def make(number: int, *, value: float = 1.5, status: str = "done", run: str = "run-1", **changes) -> CaseResult:
        key = digest(["product", number])
        record = CaseRecord(
            case_key=digest(["case", number]),
            volume_key=digest(["volume", number])[:32],
            route="ct",
            status=status,
            stage="done" if status == "done" else "read",
            code="" if status == "done" else "E_TIMEOUT",
            content_digest=digest(["content", number]),
            source_version=digest(["version", number]),
            products=(key,) if status == "done" else (),
            run=run,
            **changes,
        )
        product = ProductRecord(key=key, kind="features", rows=({"region": "body", "value": value, "none": None},))
        return CaseResult(case=record, products=(product,) if status == "done" else ())

    return make
