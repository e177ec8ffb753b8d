"""``medpipe fit``: a standard of what a run observed, and recipes that pin it."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from pydicom.uid import MRImageStorage

from medpipe.app.fit import FitRequest, fit_standard
from medpipe.app.standards import found_fit, list_fits
from medpipe.app.verify import verify_lake
from medpipe.cli import main
from medpipe.errors import ConfigError
from medpipe.kernels.foreground import foreground
from medpipe.kernels.gaussian import gaussian
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.runs import Run, run_before
from medpipe.ops.extract_landmarks import Landmarks
from medpipe.recipe.lock import lock_recipe
from medpipe.recipe.recipe import parse_recipe
from tests.app.phantom import ct_slice, rows, write
from tests.app.reconstructions import Place
from tests.cli.commands import write_key

OBSERVING = """
name = "observing"

[[route]]
name = "mr"
where = { modality = "MR", kind = ["volume"], min_slices = 3 }
regions = [ { op = "whole" }, { op = "body" } ]
image = [ { op = "gaussian", sigma_mm = 1.0 } ]
features = [
    { name = "t1", op = "landmarks", image = "final" },
    { name = "reference", op = "landmarks", percentiles = [0, 25, 50, 75, 100] },
]
"""
USING = """
name = "using"

[[route]]
name = "mr"
where = { modality = "MR", kind = ["volume"], min_slices = 3 }
regions = [ { op = "whole" } ]
image = [ { op = "gaussian", sigma_mm = 1.0 }, { op = "nyul", standard = "brain" } ]
features = [ { name = "after", op = "landmarks", image = "final" } ]
"""


SHAPE = (4, 24, 24)
SCANS = {"anna": (300, 20), "bert": (55, 0), "cora": (1200, 300), "dora": (410, 7)}
"""Contrast and offset of what is else the same kind of head."""


def head(name):
    """Return the stored numbers of a head: two tissues and noise in a dark background."""
    contrast, offset = SCANS[name]
    rng = np.random.default_rng([contrast, offset])
    z, y, x = (axis - (size - 1) / 2 for axis, size in zip(np.indices(SHAPE), SHAPE, strict=True))
    radius = np.sqrt(y**2 + x**2 + 0 * z)
    tissue = np.where(radius < 5, 2.0, np.where(radius < 9, 1.0, 0.05))
    return np.rint(contrast * (tissue + rng.uniform(0, 0.4, SHAPE) * (tissue > 0.5)) + offset).astype(np.uint16)


def write_scan(folder, name, values, **said):
    for place, plane in enumerate(values):
        elements = {"Modality": "MR", "SOPClassUID": MRImageStorage, "PixelData": plane.tobytes(), **said}
        scan = ct_slice(place, series=name, size=24, RescaleSlope=None, RescaleIntercept=None, **elements)
        write(scan, folder / f"{name}-{place}")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Return an archive of four heads, a copy of one of them, and a map of ADC."""
    folder = tmp_path_factory.mktemp("heads")
    for name in SCANS:
        write_scan(folder, name, head(name), ImageType=["ORIGINAL", "PRIMARY", "M"])
    write_scan(folder, "copy", head("bert"), ImageType=["ORIGINAL", "PRIMARY", "M"])
    write_scan(folder, "map", head("cora"), ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"])
    return folder


def observed_place(archive, folder, digit):
    """Return a lake in which a run observed the archive; keys go by the digit."""
    key = write_key(folder / "home")
    key.write_text(digit * 64 + "\n")
    place = Place(folder=folder, key=key)
    place.run(archive, recipe=OBSERVING)
    return place


@pytest.fixture(scope="module")
def fitted(archive, tmp_path_factory):
    """Return a lake that was observed, the request of a fit ``brain``, and the fit."""
    place = observed_place(archive, tmp_path_factory.mktemp("fit"), "5")
    request = FitRequest(lake=place.lake, recipe="observing", extraction="t1", name="brain")
    return place, request, fit_standard(request)


def landmarks_of(name, shares):
    """Return percentiles as NumPy takes them, of the image as the recipe smooths it."""
    x = gaussian(head(name).astype(np.float32), sigma_mm=1.0, spacing_mm=(2.0, 1.0, 1.0))
    return np.percentile(x[foreground(x)], shares).astype(np.float64)


def test_the_standard_is_the_mean_of_the_landmarks_on_a_common_scale(fitted):
    _, _, first = fitted
    each = np.stack([landmarks_of(name, first.standard.percentiles) for name in SCANS])
    scaled = 1 + 99 * (each - each[:, :1]) / (each[:, -1:] - each[:, :1])
    np.testing.assert_allclose(first.standard.values, scaled.mean(axis=0), rtol=1e-6)
    # the copy counts once, and the map of ADC not at all
    assert (first.standard.count, first.copies, first.skipped) == (4, 1, 1)
    assert [spec["op"] for spec in first.standard.chain] == ["gaussian"]


def test_another_order_of_the_cases_gives_the_same_bytes(fitted, archive, tmp_path):
    place, request, first = fitted
    other = observed_place(archive, tmp_path, "a")
    orders = [[row["status"] for row in rows(one.lake, "features")] for one in (place, other)]
    again = fit_standard(replace(request, lake=other.lake))
    assert again.standard == first.standard
    files = [Lake.open(one.lake).store.get(LAYOUT.fit(first.standard.digest)) for one in (place, other)]
    assert files[0] == files[1]
    assert orders[0] != orders[1], "the keys order the cases in the same way: take another digit"


def test_quantiles_are_the_mean_in_the_unit_of_the_images(fitted):
    _, request, _ = fitted
    found = fit_standard(replace(request, extraction="reference", name="histogram", kind="quantiles"))
    assert found.standard.chain == ()
    assert found.standard.percentiles == (0.0, 25.0, 50.0, 75.0, 100.0)
    assert list(found.standard.values) == sorted(found.standard.values)


def test_fitting_again_gives_the_same_and_a_name_is_not_taken_over_silently(fitted):
    place, request, first = fitted
    again = fit_standard(request)
    assert (again.standard, again.is_new) == (first.standard, False)
    with pytest.raises(ConfigError, match="is there already"):
        fit_standard(replace(request, extraction="reference"))
    assert [row["name"] for row in list_fits(place.lake)].count("brain") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": "nothing"}, "was not run"),
        ({"extraction": "t9"}, r"no extraction 't9' by landmarks \(reference, t1\)"),
        ({"kind": "mean"}, "none of nyul, quantiles"),
        ({"name": "../x"}, "lower-case letters"),
    ],
)
def test_what_cannot_be_fitted_is_one_clear_error(fitted, change, message):
    with pytest.raises(ConfigError, match=message):
        fit_standard(replace(fitted[1], **change))


@pytest.mark.parametrize(
    "source", ['{ op = "whole", then = [ { op = "erode", radius_mm = 3.0 } ] }', '{ op = "body", name = "whole" }']
)
def test_a_region_that_is_only_called_whole_is_no_whole_image(fitted, monkeypatch, source):
    text = OBSERVING.replace('{ op = "whole" }', source)
    lock = lock_recipe(parse_recipe(tomllib.loads(text)), lambda _: pytest.fail("no model")).to_toml()
    monkeypatch.setattr(Run, "lock", lambda _: lock)
    with pytest.raises(ConfigError, match="its region 'whole' is not what the op whole gives"):
        fit_standard(fitted[1])


def test_a_recipe_pins_the_fit_and_its_images_get_one_scale(fitted, archive, capsys):
    place, request, first = fitted
    place.run(archive, recipe=USING)
    lake = Lake.open(place.lake)
    assert f"brain@{first.standard.digest}" in run_before(lake, "using").lock()
    after = rows(place.lake, "features")
    # the map of ADC has no image on another scale, and a row says why
    assert len(after) == 5
    assert [row["code"] for row in rows(place.lake, "quarantine") if row["stage"] == "features"] == ["E_QUANTITATIVE"]
    for row in after:
        found = [row[name] for name in Landmarks().names]
        # percentiles go where the standard has them; the foreground of the result differs by voxels at its border
        np.testing.assert_allclose(found[2:], first.standard.values[2:], atol=2.0)
    assert place.run(archive, recipe=USING).executed == 0

    told = fit_standard(replace(request, extraction="reference", refit=True))
    assert (told.is_new, told.rekeyed) == (True, ("using",))
    with pytest.raises(ConfigError, match="stands after gaussian"):
        place.run(archive, recipe=USING)
    by_digest = USING.replace('"brain"', f'"brain@{first.standard.digest[:12]}"')
    assert place.run(archive, recipe=by_digest).executed == 0
    assert verify_lake(place.lake)["damaged"] == []
    assert main.run(["fits", str(place.lake), "--json"]) == 0
    listed = [row for row in json.loads(capsys.readouterr().out) if row["name"] == "brain"]
    assert [row["after"] for row in listed] == ["gaussian", "no op"]


def test_a_standard_that_nobody_fitted_is_refused_before_a_lake_is_made(archive, tmp_path):
    place = Place(folder=tmp_path, key=write_key(tmp_path / "home"))
    with pytest.raises(ConfigError, match=r"route\.0\.image\.1\.standard: fit 'brain': there is none"):
        place.run(archive, recipe=USING)
    assert not place.lake.exists()


def test_the_command_prints_what_it_fitted(fitted, capsys):
    place, _, first = fitted
    given = ["-r", "observing", "--extraction", "t1", "--name", "another", "--json"]
    assert main.run(["fit", str(place.lake), *given]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == first.standard.digest
    assert main.run(["fit", str(place.lake), *given[:-3], "--name", "A", "--json"]) == 5


def test_a_reference_means_one_fit():
    known = [("a", "11" * 32, 1), ("a", "12" * 32, 2), ("b", "13" * 32, 1)]
    assert found_fit("a", known) == found_fit("a@latest", known) == ("a", "12" * 32)
    assert found_fit("a@" + "11" * 4, known) == ("a", "11" * 32)
    for reference, message in (("c", "known: a, b"), ("a@1", "6 to 64"), ("a@" + "13" * 3, "0 fits")):
        with pytest.raises(ConfigError, match=message):
            found_fit(reference, known)
