"""Phantom archives: what is written is what the truth says, read by others' readers."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from medpipe.errors import ConfigError
from medpipe.keys import array_digest
from medpipe.reasons import REASONS
from medpipe.synth import Truth, make_archive

IMAGES = ("ct", "ct_thick", "mr", "pet")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Truth]:
    out = tmp_path_factory.mktemp("synth") / "out"
    return out, make_archive(out, studies=6, seed=11)


def tree_digest(folder: Path) -> str:
    state = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        state.update(str(path.relative_to(folder)).encode())
        if path.is_file() and not path.is_symlink():
            state.update(path.read_bytes())
    return state.hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(made, tmp_path):
    out, _ = made
    make_archive(tmp_path / "again", studies=6, seed=11)
    make_archive(tmp_path / "other", studies=1, seed=12)
    assert tree_digest(tmp_path / "again") == tree_digest(out)
    first = {path.name for path in (tmp_path / "other" / "archive").iterdir()}
    assert tree_digest(tmp_path / "other") != tree_digest(out)
    assert first


@pytest.mark.parametrize("role", IMAGES)
def test_simpleitk_reads_each_stack_with_the_geometry_and_voxels_of_the_truth(made, role):
    out, truth = made
    for study in truth.studies:
        series = study.of_role(role)
        assert series is not None
        image = sitk.ReadImage([str(out / "archive" / path) for path in series.files], sitk.sitkFloat32)
        z, y, x = series.spacing_mm
        assert image.GetSpacing() == pytest.approx((x, y, z), abs=1e-4)
        affine = np.array(series.affine_lps).reshape(4, 4)
        assert image.GetOrigin() == pytest.approx(tuple(affine[:3, 3]), abs=1e-4)
        direction = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
        assert np.allclose(direction, affine[:3, :3], atol=1e-4)
        values = sitk.GetArrayFromImage(image)
        assert values.shape == series.shape
        stored = _values_by_pydicom(out / "archive", series.files)
        assert array_digest(stored) == series.voxels_digest
        assert np.allclose(values, stored, rtol=1e-6, atol=1e-3)


def _values_by_pydicom(archive: Path, files: tuple[str, ...]) -> np.ndarray:
    slices = []
    for path in files:
        dataset = pydicom.dcmread(archive / path)
        slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
        slices.append((dataset.pixel_array.astype(np.float64) * slope + intercept).astype(np.float32))
    return np.stack(slices)


def test_highdicom_reads_each_segmentation_as_the_mask_of_the_truth(made):
    out, truth = made
    found = 0
    for study in truth.studies:
        series = study.of_role("seg")
        if series is None:
            continue
        found += 1
        segmentation = highdicom.seg.segread(out / "archive" / series.files[0])
        ct = study.of_role("ct")
        assert ct is not None
        sources = [pydicom.dcmread(out / "archive" / path, stop_before_pixels=True).SOPInstanceUID for path in ct.files]
        mask = segmentation.get_pixels_by_source_instance(
            source_sop_instance_uids=sources, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
        )
        assert np.array_equal(mask[..., 0].astype(bool), study.nodule.mask())
    assert 0 < found < len(truth.studies)


def test_contours_enclose_about_the_volume_of_the_nodule(made):
    out, truth = made
    study = next(study for study in truth.studies if study.roi_object == "RTSTRUCT")
    series = study.of_role("rtstruct")
    ct = study.of_role("ct")
    assert series is not None
    assert ct is not None
    dataset = pydicom.dcmread(out / "archive" / series.files[0])
    area = 0.0
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        x, y = points[:, 0], points[:, 1]
        area += abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    assert area * ct.spacing_mm[0] == pytest.approx(study.nodule.volume_mm3, rel=0.25)


def test_pet_spheres_have_their_suv(made):
    out, truth = made
    for study in truth.studies:
        series = study.of_role("pet")
        assert series is not None
        suv = _values_by_pydicom(out / "archive", series.files) * study.pet.suv_per_bqml
        world = _world(series)
        for sphere in study.pet.spheres:
            inside = np.linalg.norm(world - np.array(sphere.centre_lps), axis=-1) <= sphere.radius_mm
            assert suv[inside].mean() == pytest.approx(sphere.suv, rel=0.02)


def _world(series) -> np.ndarray:
    z, y, x = np.indices(series.shape)
    index = np.stack([x, y, z, np.ones_like(x)], axis=-1).astype(float)
    return (index @ np.array(series.affine_lps).reshape(4, 4).T)[..., :3]


def test_slopes_differ_from_slice_to_slice_in_pet(made):
    out, truth = made
    series = truth.studies[0].of_role("pet")
    assert series is not None
    slopes = {
        float(pydicom.dcmread(out / "archive" / path, stop_before_pixels=True).RescaleSlope) for path in series.files
    }
    assert len(slopes) > 1


def test_noisy_series_are_noisier_than_clean_ones_and_both_occur(made):
    _, truth = made
    for role in ("ct", "mr", "pet"):
        found = [series for study in truth.studies if (series := study.of_role(role)) is not None]
        noisy = [series.noise_sigma for series in found if series.noisy]
        clean = [series.noise_sigma for series in found if not series.noisy]
        if noisy and clean:
            assert min(noisy) > max(clean)
    kinds = {study.nodule.kind for study in truth.studies}
    assert kinds == {"smooth", "spiculated"}


def test_every_broken_file_is_there_and_names_a_known_reason(made):
    out, truth = made
    assert len(truth.broken) >= 6
    for broken in truth.broken:
        assert broken.code in REASONS
        assert (out / "archive" / broken.path).is_symlink() or (out / "archive" / broken.path).is_file()


def test_the_tables_of_the_truth_name_series_that_are_there(made):
    out, truth = made
    with (out / "truth" / "labels.csv").open(newline="") as file:
        labels = list(csv.DictReader(file))
    assert len(labels) == len(truth.studies)
    uids = {series.series_instance_uid for study in truth.studies for series in study.series}
    assert {row["series_instance_uid"] for row in labels} <= uids
    assert json.loads((out / "truth" / "truth.json").read_text())["seed"] == 11


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(ConfigError, match="not empty"):
        make_archive(tmp_path, studies=1, seed=0)
    with pytest.raises(ConfigError, match="at least 1"):
        make_archive(tmp_path / "new", studies=0, seed=0)
