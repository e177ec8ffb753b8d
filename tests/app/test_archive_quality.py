"""The shipped recipe for quality: a row for every image, whatever it is."""

from __future__ import annotations

import math

import nibabel
import numpy as np

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from medpipe.ops.features import Quality
from tests.app.runs import rows


def images():
    """Return images by name, (x, y, z) or (x, y, z, t)."""
    rng = np.random.default_rng(6)
    y, x = np.indices((30, 32))
    disc = 100.0 * (np.hypot(y - 15, x - 16) < 9)
    stack = np.hypot(disc + rng.normal(0, 4, (5, 30, 32)), rng.normal(0, 4, (5, 30, 32)))
    series = np.hypot(disc + rng.normal(0, 4, (6, 3, 30, 32)), rng.normal(0, 4, (6, 3, 30, 32)))
    clipped = np.minimum(stack, 95.0)
    holed = stack.copy()
    holed[0] = np.nan
    return {
        "stack": stack.T,
        "slice": stack[:1].T,
        "series": series.transpose(3, 2, 1, 0),
        "clipped": clipped.T,
        "constant": np.full((32, 30, 4), 7.0),
        "holed": holed.T,
    }


def test_every_image_that_can_be_read_has_a_row(tmp_path):
    archive = tmp_path / "archive"
    archive.mkdir()
    for name, data in images().items():
        nibabel.save(
            nibabel.Nifti1Image(data.astype(np.float32), np.diag([1.0, 1.0, 3.0, 1.0])), archive / f"{name}.nii"
        )
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text("ab" * 32, encoding="ascii")
    site = Site().model_copy(update={"engine": "serial", "workers": 1, "key_file": key})
    run_archive(RunRequest(recipe="archive-quality", archives=(archive,), lake=tmp_path / "lake", site=site), Silent())
    found = rows(tmp_path / "lake", "features")
    # what is not finite in a file is refused where it is read, and that is a row as well
    assert {row["code"] for row in rows(tmp_path / "lake", "quarantine")} == {"E_NONFINITE"}
    assert len(found) == len(images()) - 1
    assert {(row["region"], row["extraction"], row["status"]) for row in found} == {("whole", "quality", "ok")}
    told = {row["name"]: row for row in rows(tmp_path / "lake", "feature_dictionary")}
    assert set(told) == {column.name for column in Quality().columns}
    assert (told["qc_efc"]["family"], told["qc_efc"]["compliance"], told["qc_efc"]["high"]) == ("quality", "none", 1.0)
    in_time = [row for row in found if not math.isnan(row["qc_tsnr"])]
    assert len(in_time) == 1
    assert sum(row["qc_at_max"] > 0.05 for row in found) == 2
    assert {row["qc_missing"] for row in found} == {0.0}
    assert sum(math.isnan(row["qc_snr"]) for row in found) == 1
