"""Choices over phantoms and over real studies, of which other readers say what they are."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pydicom
import pytest

from medpipe.app.index import LakeIndex
from medpipe.app.progress import Silent
from medpipe.app.scan import scan_archives
from medpipe.app.site import Site
from medpipe.lake.committed import Committed
from medpipe.lake.lake import Lake
from medpipe.plan.cases import Planner, Terms
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.privacy.secret import load_secret
from medpipe.ranges import Range
from medpipe.recipe.lock import lock_recipe
from medpipe.recipe.recipe import parse_recipe
from medpipe.synth import make_archive
from tests.cli.commands import write_key

RECIPE = '[[select]]\nwhere = {{ modality = "CT" }}\nprefer = {prefer}\n[[route]]\nname = "ct"\nwhere = {{ modality = "CT" }}\n'


def scanned(folder, *archives):
    """Scan archives into a lake with original identifiers; return its index."""
    key = write_key(folder / "home")
    site = Site(engine="serial", workers=1, key_file=key, privacy="identified")
    scan_archives([Path(archive) for archive in archives], folder / "lake", site, Silent())
    secret = load_secret(key)
    lake = Lake.open(folder / "lake", secret=secret)
    return lake, LakeIndex.open(lake, Pseudonyms(secret))


def chosen(lake, index, *prefer):
    """Return by study the UID of the series that is chosen, and the code of what decided by losing series."""
    lock = lock_recipe(parse_recipe({"name": "r", **tomllib.loads(RECIPE.format(prefer=json.dumps(prefer)))}), None)
    whole = index.load(Range(0, 0))
    plan = Planner(lock, Terms(numeric_class="x")).plan(whole.candidates(), whole.versions, Committed(lake))
    series = {row["series_key"]: row for row in whole.series}
    of = {row["volume_key"]: series[row["series_key"]] for row in whole.volumes}
    winners = {of[case.volume_key]["study_instance_uid"]: of[case.volume_key] for case in plan.cases}
    assert len(winners) == len(plan.cases)
    return (
        {study: row["series_instance_uid"] for study, row in winners.items()},
        {of[key]["series_instance_uid"]: lost.by for key, lost in plan.lost.items()},
    )


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    truth = make_archive(folder / "made", studies=2, seed=4)
    return (*scanned(folder, folder / "made" / "archive"), truth)


@pytest.mark.parametrize(
    ("prefer", "role"),
    [
        (("thin",), "ct"),
        (("soft_kernel", "thick"), "ct"),
        (("thick",), "ct_thick"),
        (("sharp_kernel", "thin"), "ct_thick"),
        (("coverage", "sharp_kernel"), "ct_thick"),
        (("segmented", "thick"), "ct"),
        (("many_slices",), "ct"),
    ],
)
def test_the_wanted_reconstruction_of_each_phantom_study_is_chosen(phantoms, prefer, role):
    lake, index, truth = phantoms
    winners, losers = chosen(lake, index, *prefer)
    assert winners == {study.study_instance_uid: study.of_role(role).series_instance_uid for study in truth.studies}
    scout = truth.studies[0].of_role("localizer").series_instance_uid
    assert losers.pop(scout) == "no_localizer"
    assert set(losers.values()) <= set(prefer)


@pytest.fixture(scope="module")
def real(data_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    places = [
        data_root / "archive" / part for part in ("PACS1/DICOM/PA000002", "transfer_syntaxes/ct_chest", "lab/store")
    ]
    said = {}
    for path in (path for place in places for path in place.rglob("*") if path.is_file()):
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
        except (pydicom.errors.InvalidDicomError, AttributeError, ValueError):
            continue
        if dataset.get("Modality") == "CT":
            said.setdefault(str(dataset.StudyInstanceUID), []).append(dataset)
    return (*scanned(folder, *places), said)


@pytest.mark.data
def test_of_real_studies_an_original_is_chosen_wherever_there_is_one(real):
    lake, index, said = real
    winners, _ = chosen(lake, index, "original", "lossless")
    both = 0
    for study, series in winners.items():
        origins = {str(one.ImageType[0]).strip() for one in said[study]}
        own = {str(one.ImageType[0]).strip() for one in said[study] if one.SeriesInstanceUID == series}
        both += len(origins) > 1
        assert "ORIGINAL" in own or "ORIGINAL" not in origins
    assert both >= 3


@pytest.mark.data
def test_of_real_studies_no_scout_and_no_report_is_chosen_before_the_scan(real):
    lake, index, said = real
    for prefer in (("thick",), ("fine_pixels",), ("complete", "coverage")):
        winners, _ = chosen(lake, index, *prefer)
        # the head of a Philips Brilliance: 28 slices of 5 mm, a survey, and pages of text as images
        (study,) = [one for one, found in said.items() if any("LOCALIZER" in each.ImageType for each in found)]
        own = [one for one in said[study] if one.SeriesInstanceUID == winners[study]]
        if "fine_pixels" not in prefer:
            assert {tuple(one.ImageType) for one in own} == {("ORIGINAL", "PRIMARY", "AXIAL")}
        assert not any("LOCALIZER" in one.ImageType for one in own)
