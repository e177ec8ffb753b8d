"""Images and masks that are not DICOM, from an archive with a rule or a case list to the tables."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom import dcmread

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Limits, Site, load_site
from medpipe.archive.other.cases import ListedSource
from medpipe.errors import ConfigError, StoppedError
from tests.app.phantom import rows
from tests.archive.other_files import AFFINE, nifti, nrrd, placed, voxels
from tests.cli.commands import write_key

RECIPE = """
name = "masks"

[[route]]
name = "all"
where = { modality = ["OT", "CT", "MR"], kind = ["enhanced", "volume"] }
regions = [ { op = "segmentation_objects", map = { gtv = "(?i)gtv" } } ]
features = [ { name = "first", op = "ibsi", families = ["statistics"] } ]
"""
MASK_RULE = {"mask": "{stem}_mask"}


class Place:
    """An archive, a lake, a key and a recipe."""

    def __init__(self, base: Path) -> None:
        self.base, self.archive, self.lake = base, base / "archive", base / "lake"
        self.key = write_key(base / "home")
        (base / "masks.toml").write_text(RECIPE)

    def put(self, name: str, data: bytes) -> Path:
        path = self.archive / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def run(self, *archives, masks=(MASK_RULE,), **site):
        made = Site.model_validate(
            {
                "engine": "serial",
                "workers": 1,
                "privacy": "identified",
                "key_file": self.key,
                "masks": list(masks),
                **site,
            }
        )
        request = RunRequest(
            recipe=str(self.base / "masks.toml"), archives=archives or (self.archive,), lake=self.lake, site=made
        )
        return run_archive(request, Silent())

    def outcomes(self):
        return {row["path"]: (row["outcome"], row["code"]) for row in rows(self.lake, "instances")}

    def measured(self):
        """Return (name of region, mean) by the path of the image."""
        paths = {row["instance_key"]: row["path"] for row in rows(self.lake, "instances")}
        images = {row["volume_key"]: paths[row["instance_key"]] for row in rows(self.lake, "members")}
        found = {}
        for row in rows(self.lake, "features"):
            found.setdefault(images[row["volume_key"]], []).append((row["region"], row["stat_mean"]))
        return {path: sorted(ones) for path, ones in found.items()}


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def labels(*, seed=0, shape=(7, 6, 5)):
    return np.random.default_rng(seed).integers(0, 3, shape).astype(np.uint8)


def mean(data, mask):
    return pytest.approx(data[mask].astype(np.float64).mean(), rel=1e-6)


def test_masks_beside_images(place):
    image = voxels()
    place.put("one/x.nii.gz", nifti(image, packed=True))
    place.put("one/x_mask.nii", nifti(labels()))
    array, affine = placed(image, AFFINE)
    place.put("two/y", nrrd(array, affine))
    place.put("two/y_mask", nifti(labels(seed=1)))
    place.put("two/alone.nii", nifti(image))
    report = place.run()
    assert report.executed == 3
    assert place.measured() == {
        "one/x.nii.gz": [("roi_1", mean(image, labels() == 1)), ("roi_2", mean(image, labels() == 2))],
        "two/y": [("roi_1", mean(image, labels(seed=1) == 1)), ("roi_2", mean(image, labels(seed=1) == 2))],
    }
    kinds = sorted((row["kind"], row["verdict"]) for row in rows(place.lake, "volumes"))
    assert kinds == [("enhanced", "regular")] * 3 + [("segmentation", "segmentation")] * 2
    assert {row["source"] for row in rows(place.lake, "regions")} == {"mask"}
    # nothing is done the second time
    assert place.run().executed == 0


def test_names_choose_and_stay_private(place):
    place.put("p/image.nii", nifti(voxels()))
    for name, seed in (("GTV_primary", 0), ("node", 1)):
        place.put(f"p/mask_{name}.nii", nifti(labels(seed=seed)))
    place.run(masks=[{"mask": "mask_{roi}", "image": "image", "labels": [2]}], privacy="pseudonymized")
    found = rows(place.lake, "regions")
    expected = {"gtv": (labels(seed=0) == 2).sum(), "roi_2": (labels(seed=1) == 2).sum()}
    assert {row["name"]: row["n_voxels"] for row in found} == expected
    for path in (place.lake / "tables").resolve().rglob("*"):
        if path.is_file():
            assert b"primary" not in path.read_bytes()


def test_another_rule_reads_the_files_again(place):
    place.put("x.nii", nifti(voxels()))
    place.put("x-label.nii", nifti(labels()))
    place.run(masks=())
    assert sorted(row["kind"] for row in rows(place.lake, "volumes")) == ["enhanced", "enhanced"]
    assert rows(place.lake, "regions") == []
    place.run(masks=[{"mask": "{stem}-label"}])
    assert sorted(row["kind"] for row in rows(place.lake, "volumes")) == ["enhanced", "segmentation"]
    assert len(rows(place.lake, "regions")) == 2
    place.run(masks=[{"mask": "{stem}-label", "labels": [1]}])
    assert len(rows(place.lake, "regions")) == 1


def test_a_mask_that_changes_or_goes_changes_the_regions(place):
    place.put("x.nii", nifti(voxels()))
    mask = place.put("x_mask.nii", nifti(labels()))
    place.run()
    before = place.measured()
    place.put("x_mask.nii", nifti(labels(seed=3)))
    assert place.run().executed == 1
    assert place.measured() != before
    mask.unlink()
    place.run(deletions_share=1.0)
    assert rows(place.lake, "regions") == []


def flags(place):
    """Return kind and flags of the volumes by the path of their file."""
    paths = {row["instance_key"]: row["path"] for row in rows(place.lake, "instances")}
    files = {row["volume_key"]: paths[row["instance_key"]] for row in rows(place.lake, "members")}
    return {files[row["volume_key"]]: (row["kind"], list(row["flags"] or ())) for row in rows(place.lake, "volumes")}


def snapshot():
    held = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(held, "png")
    return held.getvalue()


@pytest.mark.parametrize("is_listed", [False, True])
def test_a_picture_beside_a_volume_is_a_series_of_its_own(place, is_listed):
    image = voxels()
    place.put("ct.nii", nifti(image))
    place.put("ct.png", snapshot())
    place.put("ct_mask.nii", nifti(labels()))
    listed = place.base / "archive" / "cases.csv"
    listed.write_text("Image,Mask\nct.nii,ct_mask.nii\nct.png,\n")
    if is_listed:
        place.run(listed, masks=())
    else:
        place.run()
    assert place.measured() == {
        "ct.nii": [("roi_1", mean(image, labels() == 1)), ("roi_2", mean(image, labels() == 2))]
    }
    assert len({row["series_key"] for row in rows(place.lake, "series")}) == 3
    found = flags(place)
    assert {path: kind for path, (kind, _) in found.items()} == {
        "ct.nii": "enhanced",
        "ct.png": "planar",
        "ct_mask.nii": "segmentation",
    }
    assert not any("W_ENDINGS" in told for _, told in found.values())


def test_two_volumes_of_one_name_are_told(place):
    place.put("ct.nii", nifti(voxels()))
    place.put("ct.nii.gz", nifti(voxels(dtype=np.float32), packed=True))
    place.put("ct_mask.nii", nifti(labels()))
    place.put("other.nii", nifti(voxels()))
    place.run()
    told = {path for path, (_, told) in flags(place).items() if "W_ENDINGS" in told}
    assert told == {"ct.nii", "ct.nii.gz"}
    assert set(place.measured()) == {"ct.nii", "ct.nii.gz"}


def test_a_rule_says_of_which_modality_files_are(place):
    place.put("ct/x.nii", nifti(voxels()))
    place.put("mr/x.nii", nifti(voxels()))
    place.put("x.nii", nifti(voxels()))
    rules = [{"path": "ct/{stem}", "modality": "CT"}, {"path": "{kind}/{stem}", "modality": "MR"}]
    place.run(modalities=rules)
    assert sorted((row["modality"], row["unit"]) for row in rows(place.lake, "volumes")) == [
        ("CT", "HU"),
        ("MR", "arbitrary"),
        ("OT", "arbitrary"),
    ]
    for wrong in ({"path": "x", "modality": "cat"}, {"path": "{a}{a}", "modality": "CT"}):
        with pytest.raises(ConfigError, match="modalities"):
            place.run(modalities=[wrong])


def test_masks_of_equal_bytes_each_count(place):
    for name in ("a", "b"):
        place.put(f"{name}.nii", nifti(voxels()))
        place.put(f"{name}_mask.nii", nifti(labels()))
    place.run()
    assert len(place.measured()) == 2


def test_a_mask_on_another_grid_is_told(place):
    place.put("x.nii", nifti(voxels()))
    place.put("x_mask.nii", nifti(labels(shape=(7, 6, 6))))
    place.run()
    assert rows(place.lake, "regions") == []
    assert [row["code"] for row in rows(place.lake, "quarantine")] == ["E_GRID"]


def test_a_mask_of_a_dicom_series_by_its_uid(place):
    from tests.app.phantom import ct_slice, write

    for number in range(4):
        write(ct_slice(number), place.archive / "dicom" / f"{number}.dcm")
    series = dcmread(place.archive / "dicom" / "0.dcm").SeriesInstanceUID
    mask = labels(shape=(64, 64, 4))
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    place.put(f"masks/{series}_mask.nii.gz", nifti(mask, affine, packed=True))
    place.run()
    pixels = np.stack([dcmread(place.archive / "dicom" / f"{number}.dcm").pixel_array for number in range(4)], axis=-1)
    values = pixels.transpose(1, 0, 2).astype(np.int64) - 1024
    found = {row["region"]: row["stat_mean"] for row in rows(place.lake, "features")}
    assert found == {f"roi_{label}": mean(values, mask == label) for label in (1, 2)}


# case lists ---------------------------------------------------------------------------------------


def test_a_case_list(place):
    image, other = voxels(), voxels(dtype=np.float32)
    place.put("data/a.nii", nifti(image))
    place.put("data/b.nii", nifti(other))
    place.put("data/not_listed.nii", nifti(other))
    place.put("elsewhere/gtv.nii", nifti(labels()))
    place.put("elsewhere/m2.nii", nifti(labels(seed=1)))
    place.put("elsewhere/m3.nii", nifti(labels(seed=1)))
    place.put("elsewhere/torn.nii", nifti(labels(seed=1)))
    place.put("list/bad.nii", b"no image at all")
    listed = place.put(
        "list/cases.csv",
        "\n".join(
            [
                "ID,Image,Mask,Label,Modality,Remark",
                "p1,../data/a.nii,../elsewhere/gtv.nii,1,CT,x",
                "p1,../data/a.nii,../elsewhere/m2.nii,2,CT,",
                f"p2,{place.archive}/data/b.nii,../elsewhere/m3.nii,,MR,",
                "p3,../data/gone.nii,../elsewhere/gone.nii,,,",
                "p4,bad.nii,,,,",
                ",,../data/a.nii,,,",
                "p1,../data/a.nii,../data/b.nii,,,",
                "p1,../data/a.nii,../elsewhere/gtv.nii,many,,",
                # of one mask two cases
                "p1,../data/a.nii,../elsewhere/torn.nii,,,",
                ",../data/b.nii,../elsewhere/torn.nii,,,",
                "",
            ]
        ).encode(),
    )
    place.run(listed)
    root = os.fspath(place.archive)
    assert place.measured() == {
        f"{root}/data/a.nii": [
            ("gtv", mean(image, labels() == 1)),
            ("roi_2", mean(image, labels(seed=1) == 2)),
        ],
        f"{root}/data/b.nii": [
            ("roi_1", mean(other, labels(seed=1) == 1)),
            ("roi_2", mean(other, labels(seed=1) == 2)),
        ],
    }
    outcomes = place.outcomes()
    assert outcomes[f"{root}/data/gone.nii"] == outcomes[f"{root}/elsewhere/gone.nii"] == ("quarantined", "E_CASE_FILE")
    assert {outcomes[f"cases.csv/row {row}"] for row in (7, 8, 9, 10, 11)} == {("quarantined", "E_CASE_ROW")}
    assert not any("torn" in path for path in outcomes)
    assert outcomes["bad.nii"] == ("skipped", "E_NOT_DICOM")
    assert not any("not_listed" in path for path in outcomes)
    assert {row["patient_id"]: row["modality"] for row in rows(place.lake, "series")} == {"p1": "CT", "p2": "MR"}
    units = {row["modality"]: row["unit"] for row in rows(place.lake, "volumes") if row["kind"] == "enhanced"}
    assert units == {"CT": "HU", "MR": "arbitrary"}


def test_a_changed_case_list_changes_what_it_says(place):
    place.put("a.nii", nifti(voxels()))
    place.put("m.nii", nifti(labels()))
    listed = place.put("cases.csv", b"\xef\xbb\xbfImage;Mask;Label\na.nii;m.nii;1\n")
    place.run(listed)
    assert len(rows(place.lake, "regions")) == 1
    assert place.run(listed).executed == 0
    listed.write_text("Image,Mask\na.nii,m.nii\n")
    place.run(listed)
    assert len(rows(place.lake, "regions")) == 2
    listed.write_text("no list\n")
    with pytest.raises((ConfigError, StoppedError)):
        place.run(listed)


def test_a_case_list_for_series_of_another_archive(place):
    from tests.app.phantom import ct_slice, write

    for number in range(4):
        write(ct_slice(number), place.archive / f"{number}.dcm")
    series = dcmread(place.archive / "0.dcm").SeriesInstanceUID
    mask = place.base / "lists" / "m.nii"
    mask.parent.mkdir()
    mask.write_bytes(nifti(labels(shape=(64, 64, 4)), np.diag([-1.0, -1.0, 2.0, 1.0])))
    listed = place.base / "lists" / "cases.csv"
    listed.write_text(f"Image,Mask,Label\n{series},m.nii,2\n")
    place.run(place.archive, listed)
    (region,) = rows(place.lake, "regions")
    assert (region["n_voxels"], region["source"]) == ((labels(shape=(64, 64, 4)) == 2).sum(), "mask")


def listed_roles(place, *lines):
    found = ListedSource(place.put("cases.csv", "\n".join(["ID,Image,Mask,Label,Modality", *lines]).encode())).read()
    return {path: (role.case, role.modality) for path, role in found.roles.items()}, found.bad_rows


def test_an_image_of_two_cases_or_modalities_is_refused_in_all_its_rows(place):
    assert listed_roles(
        place,
        "p1,a.nii,m1.nii,,CT",
        "p2,b.nii,m2.nii,,CT",
        "p3,a.nii,m3.nii,,CT",
        "p4,c.nii,m4.nii,,CT",
        "p4,./c.nii,m5.nii,,MR",
        "p5,1.2.840.113619.2.5,m6.nii,,",
        "p6,1.2.840.113619.2.5,m6.nii,,",
    ) == ({"b.nii": ("p2", "CT"), "m2.nii": ("p2", "CT")}, (2, 4, 5, 6, 7, 8))


def test_what_one_row_says_of_an_image_counts_whichever_it_is(place):
    roles, bad = listed_roles(place, ",a.nii,m1.nii,,", "p1,a.nii,m2.nii,,", ",a.nii,,,ct")
    assert (roles["a.nii"], bad) == (("p1", "CT"), ())


def test_labels_that_no_mask_can_hold_are_told(place):
    labels = ["inf", "-inf", "nan", "1e300", "2147483648", "0", "0.5", "x"]
    _, bad = listed_roles(place, *(f",a.nii,m.nii,{label}," for label in [*labels, "2147483647", "-1", "2.0"]))
    assert bad == tuple(range(2, 2 + len(labels)))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_case_list_in_another_encoding_is_refused_at_the_start(place, encoding):
    place.put("a.nii", nifti(voxels()))
    listed = place.put("cases.csv", "ID,Image,Mask\nMüller,a.nii,\n".encode(encoding))
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        place.run(listed)
    assert not place.lake.exists()
    listed.write_text("ID,Image,Mask\nMüller,a.nii,\n", encoding="utf-8")
    place.run(listed)
    assert [row["patient_id"] for row in rows(place.lake, "series")] == ["Müller"]
    listed.write_bytes("ID,Image,Mask\nMüller,a.nii,\n".encode(encoding))
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        place.run(listed)


def test_links_in_a_list_are_not_followed(place):
    place.put("a.nii", nifti(voxels()))
    (place.archive / "link.nii").symlink_to(place.archive / "a.nii")
    listed = place.put("cases.csv", b"Image,Mask\nlink.nii,\n")
    place.run(listed)
    assert place.outcomes() == {"link.nii": ("skipped", "E_SYMLINK")}


def test_an_archive_that_is_some_file_is_refused(place):
    with pytest.raises(ConfigError, match="case list"):
        place.run(place.put("a.nii", nifti(voxels())))


def test_site_files_hold_rules(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text('[[masks]]\nmask = "{stem}_seg"\nlabels = [1, 2]\n')
    (rule,) = load_site(path).mask_rules()
    assert (rule.image_of("a/b_seg"), rule.labels) == ("a/b", (1, 2))
    path.write_text('[[masks]]\nmask = "mask"\n')
    with pytest.raises(ConfigError, match="masks"):
        load_site(path)
    assert Limits() == load_site(None).limits


@pytest.mark.data
def test_published_cases_give_their_voxels(place, data_root):
    folder = data_root / "radiomics"
    names = [("brain1_image", "brain1_label"), ("breast1_image", "breast1_label")]
    names += [("prostate_phantom_subvolume", "prostate_phantom_subvolume-label")]
    lines = [f"{folder / one}.nrrd,{folder / other}.nrrd" for one, other in names]
    folder = data_root / "ibsi" / "digital_phantom"
    lines.append(f"{folder}/image.nii.gz,{folder}/mask.nii.gz")
    listed = place.base / "cases.csv"
    listed.write_text("\n".join(["Image,Mask", *lines]))
    place.run(listed)
    masks = [sitk.GetArrayFromImage(sitk.ReadImage(line.split(",")[1])) for line in lines]
    counts = [int((mask == label).sum()) for mask in masks for label in np.unique(mask[mask != 0])]
    assert sorted(row["n_voxels"] for row in rows(place.lake, "regions")) == sorted(counts)
