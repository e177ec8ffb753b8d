"""The Python surface."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import medpipe
from medpipe.types import Geometry, Volume


@pytest.fixture(scope="module")
def lake(tmp_path_factory, monkeypatch_module):
    folder = tmp_path_factory.mktemp("api")
    monkeypatch_module.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    medpipe.make_archive(folder / "phantoms", studies=1, seed=3)
    (folder / "site.toml").write_text('engine = "serial"\n')
    report = medpipe.run("whole-archive", folder / "phantoms" / "archive", folder / "lake", site=folder / "site.toml")
    assert report.published.snapshot.counts["committed"] == report.planned
    return folder / "lake"


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_importing_medpipe_imports_nothing_heavy():
    code = "import sys, medpipe; print([m for m in ('numpy', 'dask', 'pydantic', 'zarr') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_public_name_is_there():
    for name in medpipe.__all__:
        assert getattr(medpipe, name).__module__.startswith("medpipe.")
    with pytest.raises(AttributeError):
        _ = medpipe.no_such_name


def test_tables_and_queries_agree(lake):
    opened = medpipe.open_lake(lake)
    table = opened.table("volumes")
    assert {"volumes", "features", "scores", "quarantine"} <= set(opened.tables)
    assert opened.sql("SELECT count(*) AS n FROM volumes").to_pylist() == [{"n": table.num_rows}]


def test_a_volume_is_lazy_and_its_values_give_the_mean_of_its_features(lake):
    opened = medpipe.open_lake(lake)
    row = next(
        row for row in opened.table("volumes").to_pylist() if row["modality"] == "CT" and row["kind"] == "volume"
    )
    volume = opened.volume(row["volume_key"])
    values = volume.data.compute()
    assert values.dtype == np.float32
    assert values.shape == volume.geometry.shape == tuple(row["shape"])
    assert volume.unit == "HU"
    assert values.min() >= -1100
    assert np.allclose(volume.geometry.affine_lps, row["affine_lps"], atol=1e-5)


def test_a_refused_or_unknown_volume_is_a_clear_error(lake):
    with pytest.raises(medpipe.LakeError, match="not in the tables"):
        medpipe.open_lake(lake).volume("0" * 32)


def test_extract_gives_the_columns_of_its_ops():
    rng = np.random.default_rng(1)
    data = rng.normal(0, 100, (8, 16, 16)).astype(np.float32)
    volume = Volume(
        data=data, geometry=Geometry(shape=data.shape, spacing_mm=(1.0, 1.0, 1.0)), unit="HU", modality="CT"
    )
    mask = np.zeros(data.shape, bool)
    mask[2:6, 4:12, 4:12] = True
    values = medpipe.extract(volume, mask, [{"op": "ibsi", "families": ["statistics"]}, {"op": "lbp"}])
    assert values["stat_mean"] == pytest.approx(data[mask].mean(dtype=float), abs=1e-6)
    assert sum(values[f"lbp_{code}"] for code in range(10)) == pytest.approx(1.0)
    with pytest.raises(medpipe.ConfigError, match="before it already"):
        medpipe.extract(volume, mask, [{"op": "lbp"}, {"op": "lbp"}])
    with pytest.raises(medpipe.ConfigError, match="shape"):
        medpipe.extract(volume, mask[0], [{"op": "lbp"}])
