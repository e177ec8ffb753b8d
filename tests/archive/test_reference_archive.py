"""The whole reference archive: every stack that independent readers confirmed must be right."""

from __future__ import annotations

import collections
import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from medpipe.archive.assemble import Assembly, assemble
from medpipe.archive.companions import companions_for, load_companions
from medpipe.archive.duplicates import Looks
from medpipe.archive.header import Header, read_header
from medpipe.archive.other.door import read_any
from medpipe.archive.pixels import pixel_digest
from medpipe.archive.source import FolderSource
from medpipe.archive.voxels import load_volume
from medpipe.keys import bytes_digest

pytestmark = [pytest.mark.slow, pytest.mark.data]

OUTCOMES = {
    "image": {"used"},
    "re-encoded copy": {"duplicate"},
    "duplicate": {"duplicate"},
    "DICOM without pixels": {"catalogued"},
    "DICOMDIR": {"skipped"},
    "not DICOM": {"skipped"},
}
PLACED = {"volume", "series4d", "mosaic", "enhanced", "single"}


class Whole:
    """The archive, scanned and assembled once."""

    def __init__(self, root: Path) -> None:
        self.source = FolderSource(root / "archive")
        self.headers: dict[str, Header] = {
            item.path: read_header(self.source.open(item.path), path=item.path, size=item.size, version=item.version)
            for item in self.source.scan()
        }
        self.assembly: Assembly = assemble(
            list(self.headers.values()),
            Looks(lambda path: bytes_digest(self.source.open(path)), lambda path: pixel_digest(self.source.open(path))),
        )
        self.stacks_of = collections.defaultdict(set)
        for index, stack in enumerate(self.assembly.stacks):
            for path in stack.paths:
                self.stacks_of[path].add(index)


@pytest.fixture(scope="module")
def whole(data_root: Path) -> Whole:
    return Whole(data_root)


@pytest.fixture(scope="module")
def expected(data_root: Path) -> list[dict]:
    return json.loads((data_root / "expected.json").read_text())


def problems(whole: Whole, entry: dict) -> list[str]:
    paths = [path.removeprefix("archive/") for path in [*entry["files"], *(entry.get("reencoded_copies") or [])]]
    indices = set().union(*(whole.stacks_of[path] for path in paths))
    if len(indices) != 1:
        return [f"in {len(indices)} stacks"]
    stack = whole.assembly.stacks[indices.pop()]
    if stack.refused:
        return [stack.code]
    volume, _ = load_volume(stack, whole.headers, whole.source.open)
    array = np.moveaxis(volume.data, 0, -1) if stack.axes == "czyx" else volume.data
    found = [] if stack.kind == entry["kind"] else [f"kind {stack.kind}"]
    if list(array.shape) != entry["shape"]:
        return [*found, f"shape {array.shape}"]
    if entry.get("sha256_f4"):
        digest = hashlib.sha256(np.ascontiguousarray(array, dtype="<f4").tobytes()).hexdigest()
        found += [] if digest == entry["sha256_f4"] else ["voxels"]
    elif max(abs(array.mean(dtype="f8") - entry["mean"]), abs(array.std(dtype="f8") - entry["std"])) > 3:
        found.append("statistics")
    irregular = stack.verdict in {"uneven", "missing_slices"}
    found += [] if irregular == bool(entry.get("slice_gaps")) else ["steps"]
    return found + affine_problems(stack.affine_lps, entry)


def affine_problems(affine: tuple[float, ...] | None, entry: dict) -> list[str]:
    if entry["kind"] not in PLACED or not entry.get("affine_lps"):
        return []
    if affine is None:
        return ["no affine"]
    last = np.array(entry["shape"][-3:])[::-1] - 1
    corners = np.array([[i, j, k, 1] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])], float).T
    error = np.abs((np.array(entry["affine_lps"]) - np.array(affine).reshape(4, 4)) @ corners).max()
    # the reference is rounded to 5 decimals, which alone moves a far corner by this much
    rounding = 5e-6 * (last.sum() + 1)
    return [f"affine {error:.2g} mm"] if error > 1e-3 + rounding else []


def test_every_confirmed_stack_is_right(whole: Whole, expected: list[dict]):
    wrong = {}
    counted = collections.Counter()
    for entry in expected:
        if entry.get("verdict") in {"confirmed", "pixels confirmed"}:
            counted[entry["kind"]] += 1
            found = problems(whole, entry)
            if found:
                wrong[entry["id"]] = (entry["kind"], found)
    print(dict(counted))  # the report of this test
    assert not wrong
    assert sum(counted.values()) == 168


def test_every_file_has_the_outcome_its_class_asks_for(whole: Whole, expected: list[dict], data_root: Path):
    sure = {entry["id"] for entry in expected if entry.get("verdict") in {"confirmed", "pixels confirmed"}}
    twins = collections.defaultdict(list)
    wrong = []
    with (data_root / "files.csv").open() as stream:
        for row in csv.DictReader(stream):
            outcome = whole.assembly.outcomes[row["path"].removeprefix("archive/")].outcome
            if row["class"] in {"image", "re-encoded copy"} and row["expected_id"] in sure:
                twins[row["expected_id"]].append((row["class"], outcome))
            elif row["class"] != "image" and outcome not in OUTCOMES.get(row["class"], {"quarantined"}):
                wrong.append((row["path"], row["class"], outcome))
    assert not wrong
    # which of several encodings is the one that is read is ours to choose
    for found in twins.values():
        assert sorted(found_class == "image" for found_class, _ in found) == sorted(
            outcome == "used" for _, outcome in found
        )
        assert {outcome for _, outcome in found} <= {"used", "duplicate"}


def test_no_two_stacks_share_an_identity(whole: Whole):
    identities = [stack.identity for stack in whole.assembly.stacks]
    assert len(set(identities)) == len(identities)


def test_every_path_has_one_outcome(whole: Whole):
    assert set(whole.assembly.outcomes) == set(whole.headers)


def test_published_masks_are_met_voxel_by_voxel(whole: Whole, data_root: Path):
    sitk = pytest.importorskip("SimpleITK")
    linked = companions_for(whole.assembly.stacks, list(whole.headers.values()))
    for case in ("STS_003", "STS_024"):
        for image in ("CT", "MR_T1", "PET"):
            (index,) = whole.stacks_of[f"onc/{case}/{image}_image_000000.dcm"]
            stack = whole.assembly.stacks[index]
            (path,) = linked[stack.identity]
            companions = load_companions([(whole.headers[path], whole.source.open(path))], stack.geometry())
            name = data_root / "rtstruct_masks" / f"{case}_{image}_mask.nii.gz"
            published = sitk.ReadImage(str(name))
            (region,) = companions.regions
            assert np.array_equal(region.mask, sitk.GetArrayFromImage(published) > 0)
            data = name.read_bytes()
            header = read_any(data, path=name.name, size=len(data), version="1")
            (region,) = load_companions([(header, data)], stack.geometry()).regions
            assert np.array_equal(region.mask, sitk.GetArrayFromImage(published) > 0)
