"""Mask files on an image's grid: voxel for voxel what nibabel and arithmetic say, or a reason."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from msgspec import structs

from medpipe.archive.companions import load_companions
from medpipe.archive.header import Header
from medpipe.archive.other.identity import Identity, MaskRule, local_uid, stem_of
from medpipe.errors import ConfigError, Rejected
from medpipe.types import Geometry
from tests.archive.other_files import AFFINE, header_of, nifti, nrrd, placed, read, voxels

SHAPE = (7, 6, 5)


def labelled(shape=SHAPE):
    """Return labels 0 to 3 (x, y, z)."""
    return np.random.default_rng(5).integers(0, 4, shape).astype(np.uint8)


def image_geometry() -> Geometry:
    return read(nifti(voxels(SHAPE)))[2].geometry


def masks_of(data, geometry=None, *, labels=(), path="folder/case_mask.nii.gz"):
    header = structs.replace(header_of(data, path), labels=labels)
    return load_companions([(header, data)], geometry or image_geometry())


def assert_masks(found, expected):
    """Compare regions with an array (x, y, z) of labels on the image's stored grid."""
    assert found.problems == ()
    names = [found.original_names[region.name] for region in found.regions]
    assert names == [f"case_mask {label}" for label in np.unique(expected[expected != 0])]
    laid, _ = placed(expected, AFFINE)
    for region in found.regions:
        label = int(found.original_names[region.name].split()[1])
        np.testing.assert_array_equal(region.mask, laid == label)
        assert region.source == "mask"


def test_labels_become_regions():
    for packed in (False, True):
        assert_masks(masks_of(nifti(labelled(), packed=packed)), labelled())
    array, affine = placed(labelled(), AFFINE)
    assert_masks(masks_of(nrrd(np.ascontiguousarray(array), affine)), labelled())


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_a_mask_stored_in_another_orientation(axes, signs):
    mask = nib.Nifti1Image(labelled(), AFFINE)
    turned = mask.as_reoriented(np.column_stack([axes, signs]))
    assert_masks(masks_of(nifti(np.asanyarray(turned.dataobj), turned.affine)), labelled())


def test_a_part_of_the_grid():
    labels = labelled()
    labels[:2] = labels[5:] = labels[:, :1] = labels[:, :, 4:] = 0
    part = nib.Nifti1Image(labels, AFFINE).slicer[2:5, 1:, :4]
    assert_masks(masks_of(nifti(np.asanyarray(part.dataobj), part.affine)), labels)
    # a grid that goes beyond the image, with nothing drawn there
    wide = np.pad(labels, ((2, 1), (0, 3), (1, 1)))
    moved = AFFINE @ np.array([[1, 0, 0, -2], [0, 1, 0, 0], [0, 0, 1, -1], [0, 0, 0, 1.0]])
    assert_masks(masks_of(nifti(wide, moved)), labels)
    wide[0, 0, 0] = 1
    assert masks_of(nifti(wide, moved)).problems == ("E_GRID",)


def test_chosen_labels():
    found = masks_of(nifti(labelled()), labels=(2, 9))
    assert [found.original_names[region.name] for region in found.regions] == ["case_mask 2", "case_mask 9"]
    np.testing.assert_array_equal(found.regions[0].mask, placed(labelled(), AFFINE)[0] == 2)
    assert not found.regions[1].mask.any()


def test_a_mask_without_any_label_is_an_empty_region():
    found = masks_of(nifti(np.zeros(SHAPE, np.uint8)))
    assert found.original_names == {"roi_1": "case_mask 1"}
    assert not found.regions[0].mask.any()


def test_parts_of_one_count_from_a_half():
    parts = np.random.default_rng(6).uniform(0, 1, SHAPE).astype(np.float32)
    parts[0, 0, 0] = 0.5
    found = masks_of(nifti(parts))
    np.testing.assert_array_equal(found.regions[0].mask, placed(parts, AFFINE)[0] >= 0.5)
    # slices of nothing but 0 and 1 before one of parts
    parts[:, :, :2] = np.rint(parts[:, :, :2])
    np.testing.assert_array_equal(masks_of(nifti(parts)).regions[0].mask, placed(parts, AFFINE)[0] >= 0.5)
    parts[0, 0, 0] = 2
    assert masks_of(nifti(parts)).problems == ("E_LABELS",)
    assert_masks(masks_of(nifti(labelled().astype(np.float32))), labelled())
    scaled = masks_of(nifti(labelled(), scl_slope=2))
    assert set(scaled.original_names.values()) == {"case_mask 2", "case_mask 4", "case_mask 6"}


def test_segments_of_slicer_bear_their_names_and_may_overlap():
    one, other = placed(labelled(), AFFINE)[0], placed(labelled()[::-1], AFFINE)[0]
    affine = placed(labelled(), AFFINE)[1]
    lines = ["Segment0_Name:=GTV: primary", "Segment0_LabelValue:=2", "Segment0_Layer:=1", "Segment0_Color:=1 0 0"]
    lines += ["Segment1_LabelValue:=2", "Segment1_Layer:=0", "Segment1_Name:=node", "Segment2_LabelValue:=7"]
    layers = np.ascontiguousarray(np.stack([one, other], axis=-1))
    data = nrrd(layers, affine, kinds=["list", "domain", "domain", "domain"], lines=lines)
    found = masks_of(data, path="p/x.seg.nrrd")
    assert list(found.original_names.values()) == ["x 2 GTV: primary", "x 2 node", "x 7"]
    np.testing.assert_array_equal(found.regions[0].mask, other == 2)
    np.testing.assert_array_equal(found.regions[1].mask, one == 2)
    assert not found.regions[2].mask.any()
    # layers that nothing describes are times, and no mask
    plain = nrrd(layers, affine, kinds=["list", "domain", "domain", "domain"])
    assert masks_of(plain).problems == ("E_COMPANION",)


@pytest.mark.parametrize("shift", [(0.3, 0, 0), (0, 0, 1.25), (0.02, 0.02, 0)])
def test_another_grid_is_refused(shift):
    moved = AFFINE.copy()
    moved[:3, 3] += shift
    assert masks_of(nifti(labelled(), moved)).problems == ("E_GRID",)


def test_rounding_in_a_header_is_not_another_grid():
    rounded = AFFINE.copy()
    rounded[:3] += 1e-4
    rounded[0, 1] -= 1e-4
    assert_masks(masks_of(nifti(labelled(), rounded)), labelled())


def test_other_steps_and_other_angles_are_refused():
    for change in (
        np.diag([2, 1, 1, 1.0]),
        np.diag([1, 1, 1.02, 1]),
        [[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    ):
        assert masks_of(nifti(labelled(), AFFINE @ np.array(change))).problems == ("E_GRID",)


def test_what_is_no_mask_is_told():
    many = np.arange(7 * 6 * 5 * 2, dtype=np.int16).reshape(14, 6, 5)[:7] + 300
    assert masks_of(nifti(many)).problems == ()
    big = nib.Nifti1Image(np.arange(4913, dtype=np.int16).reshape(17, 17, 17), AFFINE)
    geometry = read(nifti(voxels((17, 17, 17))))[2].geometry
    assert masks_of(nifti(np.asanyarray(big.dataobj)), geometry).problems == ("E_LABELS",)
    assert masks_of(nifti(voxels(SHAPE, np.float32))).problems == ("E_LABELS",)
    assert masks_of(nifti(labelled(), sform_code=0)).problems == ("E_GRID",)
    assert masks_of(nifti(labelled((7, 6, 5, 2)))).problems == ("E_COMPANION",)
    # a bad one does not cost the others
    sound, bad = nifti(labelled()), nifti(labelled(), bitpix=64)
    pairs = [(header_of(bad, "a"), bad), (header_of(sound, "case_mask"), sound)]
    found = load_companions(pairs, image_geometry())
    assert (len(found.regions), found.problems) == (3, ("E_COMPANION",))


def test_an_image_without_a_place_has_no_grid():
    geometry = read(nifti(voxels(SHAPE), sform_code=0))[2].geometry
    with pytest.raises(Rejected, match="E_GRID"):
        masks_of(nifti(labelled()), geometry)


# names ------------------------------------------------------------------------------------------


def test_stems():
    known = {
        "a/b.nii.gz": "a/b",
        "a/b.NII": "a/b",
        "b.seg.nrrd": "b",
        "b.nrrd": "b",
        "b.1.png": "b.1",
        "b.tif": "b",
        "x/.nii": "x/.nii",
        "b.xyz": "b.xyz",
        "b.nii.gz.nii": "b.nii.gz",
    }
    assert {path: stem_of(path) for path in known} == known


@pytest.mark.parametrize(
    ("mask", "image", "path", "expected"),
    [
        ("{stem}_mask", "{stem}", "a/b/case1_mask", "a/b/case1"),
        ("{stem}_mask", "{stem}", "a/b/case1", None),
        ("{stem}-label", "{stem}", "x-label", "x"),
        ("labels/{case}", "images/{case}_0000", "set/labels/p1", "set/images/p1_0000"),
        ("labels/{case}", "images/{case}_0000", "labels/p1", "images/p1_0000"),
        ("{case}/mask_{roi}", "{case}/image", "s/p1/mask_gtv", "s/p1/image"),
        ("{case}/mask_{roi}", "{case}/image", "mask_gtv", None),
        ("{stem}.mask", "{stem}", "axmask", None),
    ],
)
def test_rules_say_whose_mask_a_file_is(mask, image, path, expected):
    assert MaskRule(mask, image).image_of(path) == expected


@pytest.mark.parametrize(
    ("mask", "image"),
    [("mask", "image"), ("{a}_{a}", "{a}"), ("{a}_mask", "{b}"), ("{stem}", "{stem}"), ("{A}_m", "x")],
)
def test_rules_that_make_no_sense_are_refused(mask, image):
    with pytest.raises(ConfigError, match="masks"):
        MaskRule(mask, image)


def test_identity_is_the_place():
    identity = Identity(source="s", rules=(MaskRule("{stem}_mask", "{stem}", (1,)),))
    headers = {
        path: identity(header_of(nifti(labelled()), path))
        for path in ("a/x.nii", "a/x_mask.nii.gz", "b/x.nii", "a/1.2.840.113619.2.5_mask.nrrd")
    }
    image, mask, other, series = headers.values()
    assert image.study_uid == mask.study_uid != other.study_uid
    assert len({one.series_uid for one in headers.values()}) == 4
    assert (mask.is_mask, mask.labels, mask.referenced_series) == (True, (1,), (image.series_uid,))
    assert not image.is_mask
    assert "1.2.840.113619.2.5" in series.referenced_series
    assert Identity(source="t")(header_of(nifti(labelled()), "a/x.nii")).series_uid != image.series_uid
    dicom = Header(path="a", size=0, version="")
    assert identity(dicom) is dicom
    assert local_uid("a", "b") != local_uid("ab")
    assert len(local_uid("a")) <= 64


def test_a_label_for_each_of_a_thousand_lesions():
    labels = np.random.default_rng(8).permutation(1800).reshape(10, 12, 15).astype(np.int16)
    found = masks_of(nifti(labels), read(nifti(voxels((10, 12, 15))))[2].geometry)
    where = placed(labels, AFFINE)[0]
    assert [region.label for region in found.regions] == list(range(1, 1800))
    for region in found.regions[::50]:
        np.testing.assert_array_equal(region.mask, where == region.label)
