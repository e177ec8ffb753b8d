"""One image and its mask, in files and in memory."""

from __future__ import annotations

import csv
import math

import nibabel
import numpy as np
import pytest

import medpipe
from medpipe.app.one_image import PLACE, Question, measure_files
from medpipe.app.site import Site
from medpipe.archive.header import read_header
from medpipe.cli.main import run
from medpipe.errors import ConfigError
from medpipe.ops.features import Pyradiomics
from medpipe.types import Geometry, Region, Volume
from tests.app.reconstructions import write_series
from tests.ops.test_ibsi_reference import EXTRACTIONS, references, wrong_of

SHAPE = (8, 14, 16)
SPACING_MM = (3.0, 2.0, 1.5)
RECIPE = """
name = "two"
[[route]]
name = "ct"
where = { modality = "CT" }
regions = [ { op = "segmentation_objects", map = { tumour = "_?mask 2$" } } ]
features = [
    { name = "first", op = "ibsi", families = ["statistics", "intensity_histogram"], bins = 8 },
    { name = "pattern", op = "lbp" },
]
"""


def _image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100.0, 30.0, SHAPE).round().astype(np.float32)


def _labels() -> np.ndarray:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[2:6, 3:9, 2:9] = 1
    labels[3:7, 9:13, 9:15] = 2
    return labels


def _write(path, data, spacing_mm=SPACING_MM):
    # rows and columns of the array are x and y of the patient turned about, as in a file made of DICOM
    affine = np.diag([-spacing_mm[2], -spacing_mm[1], spacing_mm[0], 1.0])
    nibabel.save(nibabel.Nifti1Image(data.T, affine), path)
    return path


@pytest.fixture
def files(tmp_path):
    return _write(tmp_path / "image.nii.gz", _image()), _write(tmp_path / "mask.nii.gz", _labels())


def _ask(image, mask, **said):
    told = []
    found = measure_files(Question(image=image, mask=mask, **said), Site(), told.append)
    return found.to_pylist(), told


def _same(a, b):
    return a.keys() == b.keys() and np.array_equal([*a.values()], [b[name] for name in a], equal_nan=True)


def test_files_and_arrays_give_the_same_numbers(files):
    for label in (1, 2):
        in_files = medpipe.extract(*files, label=label)
        in_memory = medpipe.extract(_image(), _labels(), label=label, spacing_mm=SPACING_MM)
        assert _same(in_files, in_memory)
        assert in_files["stat_mean"] == pytest.approx(_image()[_labels() == label].mean(dtype=float))
        assert {name.split("_")[0] for name in in_files} >= {"stat", "morph", "loc", "ih", "ivh", "cm"}


def test_each_label_of_a_mask_is_a_row(files):
    rows, told = _ask(*files)
    assert [(row["region"], row["number"], row["n_voxels"], row["status"]) for row in rows] == [
        ("roi_1", 1, 168, "ok"),
        ("roi_2", 2, 96, "ok"),
    ]
    assert told == []
    with pytest.raises(ConfigError, match="2 regions"):
        medpipe.extract(*files)


def test_a_recipe_names_regions_and_asks_for_a_modality(files, tmp_path):
    recipe = tmp_path / "two.toml"
    recipe.write_text(RECIPE)
    with pytest.raises(ConfigError, match="may ask for a modality"):
        _ask(*files, recipe=str(recipe))
    rows, _ = _ask(*files, recipe=str(recipe), modality="CT", label=2)
    assert [(row["region"], row["extraction"], row["number"]) for row in rows] == [
        ("tumour", "first", 1),
        ("tumour", "pattern", 1),
    ]
    assert rows[0]["lbp_0"] is None
    assert rows[1]["stat_mean"] is None


def test_a_region_that_is_not_there_is_a_row_without_numbers(files):
    (row,), _ = _ask(*files, label=7)
    assert (row["status"], row["code"], row["n_voxels"]) == ("empty", "EMPTY_ROI", 0)
    assert all(math.isnan(value) for name, value in row.items() if name not in PLACE)
    assert all(math.isnan(value) for value in medpipe.extract(*files, label=7).values())


IMPORTED = """
name = "imported"
[[route]]
name = "image"
regions = [ { op = "segmentation_objects" } ]
features = [ { name = "theirs", op = "pyradiomics", names = "pyradiomics", resample_mm = [2, 2, 2], least_voxels = 150 } ]
"""


def test_pyradiomics_meets_the_slices_in_the_order_of_the_file(tmp_path):
    # a file whose axes are left-handed holds its slices against their normal
    data, labels = _image(), _labels()
    affine = np.diag([-SPACING_MM[2], SPACING_MM[1], SPACING_MM[0], 1.0])
    for name, array in (("image", data), ("mask", labels)):
        nibabel.save(nibabel.Nifti1Image(array.T, affine), tmp_path / f"{name}.nii.gz")
    recipe = tmp_path / "imported.toml"
    recipe.write_text(IMPORTED)
    rows, _ = _ask(tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz", recipe=str(recipe))
    assert [(row["status"], row["code"]) for row in rows] == [("ok", None), ("empty", "SMALL_ROI")]
    assert all(math.isnan(rows[1][name]) for name in rows[1] if name.startswith("original_"))
    op = Pyradiomics(names="pyradiomics", resample_mm=(2.0, 2.0, 2.0))
    image = Volume(data=data, geometry=Geometry(shape=SHAPE, spacing_mm=SPACING_MM))
    expected = op(image, Region(mask=labels == 1, name="roi_1"))
    assert {name: rows[0][name] for name in expected} == pytest.approx(dict(expected), nan_ok=True)


def test_what_cannot_be_measured_says_why(files, tmp_path):
    image, mask = files
    other = _write(tmp_path / "other_mask.nii.gz", _labels(), spacing_mm=(3.0, 2.0, 2.0))
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(image.read_bytes()[:-300])
    blind = tmp_path / "blind.toml"
    blind.write_text('name = "blind"\n[[route]]\nname = "all"\nregions = [ { op = "whole" } ]\n')
    refusals = {
        "E_GRID": {"mask": other},
        "E_TRUNCATED": {"image": broken},
        "no such file": {"mask": tmp_path / "none.nii"},
        "a mask is one file": {"mask": tmp_path},
        "outside every region": {"label": 0},
        "no DICOM images": {"image": tmp_path},
        "no route measures": {"recipe": str(blind)},
    }
    for said, change in refusals.items():
        with pytest.raises(ConfigError, match=said):
            _ask(**{"image": image, "mask": mask, **change})


def test_a_dicom_folder_is_measured_with_a_mask_of_its_series(tmp_path):
    folder = tmp_path / "a folder, with\nodd names"
    write_series(folder, "1", slices=4)
    (folder / "notes.txt").write_text("no image")
    labels = np.zeros((4, 16, 16), dtype=np.uint8)
    labels[1:4, 4:12, 5:11] = 1
    mask = tmp_path / "mask.nii"
    header = read_header((folder / "1-0").read_bytes(), path="1-0", size=0, version="")
    assert header.top.spacing_mm is not None
    row_mm, column_mm = header.top.spacing_mm
    nibabel.save(nibabel.Nifti1Image(labels.T, np.diag([-column_mm, -row_mm, 2.0, 1.0])), mask)
    rows, _ = _ask(folder, mask)
    assert [(row["modality"], row["n_voxels"], row["status"]) for row in rows] == [("CT", 144, "ok")]
    write_series(folder, "2", slices=4)
    with pytest.raises(ConfigError, match="2 series"):
        medpipe.extract(folder, mask)
    again, _ = _ask(folder, mask, series=header.series_uid)
    assert again == rows
    assert medpipe.extract(folder, mask, series=header.series_uid)["stat_mean"] == rows[0]["stat_mean"]
    with pytest.raises(ConfigError, match="no DICOM images of series"):
        _ask(folder, mask, series="1.2.3.4.5.6")


@pytest.mark.data
def test_the_ct_phantom_in_files_meets_the_reference(data_root, tmp_path):
    folder, recipe = data_root / "ibsi" / "ct_phantom", tmp_path / "c.toml"
    recipe.write_text(
        'name = "c"\n[[route]]\nname = "all"\nregions = [ { op = "segmentation_objects" } ]\n'
        '[[route.features]]\nname = "c"\nop = "ibsi"\nround = true\nresample_mm = [2, 2, 2]\nrange = [-1000, 400]\n'
        "bin_width = 25\nivh_bin_width = 2.5\n"
        f"families = {list(EXTRACTIONS['ct_config_c'].families)}\n"
    )
    found = medpipe.extract(folder / "image.nii.gz", folder / "mask.nii.gz", recipe=recipe)
    assert set(references(data_root, "ct_config_c")) <= set(found)
    assert wrong_of(data_root, "ct_config_c", found) == set()


@pytest.mark.slow
@pytest.mark.data
def test_contours_and_voxels_of_one_tumour_agree(data_root):
    folder = data_root / "archive" / "onc" / "STS_003"
    (drawn,), _ = _ask(folder, folder / "CT_mask_RS.dcm")
    data = (folder / "CT_image_000000.dcm").read_bytes()
    series = read_header(data, path="", size=len(data), version="").series_uid
    (voxels,), _ = _ask(folder, data_root / "rtstruct_masks" / "STS_003_CT_mask.nii.gz", series=series)
    assert drawn["n_voxels"] == pytest.approx(voxels["n_voxels"], rel=0.01)
    assert drawn["stat_mean"] == pytest.approx(voxels["stat_mean"], abs=1.0)


@pytest.mark.data
def test_a_segmentation_of_other_images_says_so(data_root):
    folder = data_root / "archive" / "objects" / "hd"
    with pytest.raises(ConfigError, match="W_NO_IMAGE"):
        _ask(folder / "ct_image.dcm", folder / "seg_image_ct_binary_fractional.dcm")


def test_arrays_and_files_are_not_mixed_and_arrays_must_fit(files):
    image, labels = _image(), _labels()
    wrong = {
        "both files, or both in memory": ((files[0], labels), {}),
        "files have a spacing": (files, {"spacing_mm": SPACING_MM}),
        "a recipe is for files": ((image, labels), {"recipe": "one-image"}),
        "shape": ((image, labels[1:]), {}),
        "array of real numbers": ((image[0], labels[0]), {}),
        "three lengths above 0": ((image, labels), {"spacing_mm": (1.0, 0.0, 1.0)}),
        "its own spacing": (
            (medpipe.Volume(data=image, geometry=medpipe.Geometry(shape=SHAPE)), labels),
            {"spacing_mm": SPACING_MM},
        ),
    }
    for said, (given, more) in wrong.items():
        with pytest.raises(ConfigError, match=said):
            medpipe.extract(*given, **more)


def test_the_command_prints_and_writes_a_table(files, tmp_path, monkeypatch, capsys):
    written, home = tmp_path / "table.csv", tmp_path / "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    asked = ["features", *map(str, files), "--output"]
    assert run([*asked, str(written), "--dictionary", str(tmp_path / "columns.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["feature", "roi_1", "1", "roi_2", "2"]
    header, *rows = written.read_text().splitlines()
    assert len(rows) == 2
    assert header.startswith('"region","number","n_voxels"')
    assert len(lines) == 2 + len(header.split(",")) + 1
    told = {row["name"]: row for row in csv.DictReader((tmp_path / "columns.csv").open(newline=""))}
    assert set(told) == {name.strip('"') for name in header.split(",")} - set(PLACE)
    assert (told["stat_mean"]["ibsi"], told["stat_mean"]["unit"], told["stat_mean"]["compliance"]) == (
        "Q4LE",
        "image",
        "ibsi",
    )
    assert not home.exists()  # no key was made for the user
    assert run([*asked, str(tmp_path / "table.txt")]) == 5
    assert "must end in" in capsys.readouterr().err
