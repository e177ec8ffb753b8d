"""Nothing of a patient leaves the private room: an archive full of canaries, and every byte looked at."""

from __future__ import annotations

import base64
import io
import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from medpipe.lake.lake import Lake
from medpipe.lake.query import read_table, table_names
from medpipe.privacy.secret import load_secret
from tests.app.phantom import ct_slice, rows, write
from tests.cli.commands import medpipe, write_key

UIDS = {name: f"1.2.826.0.1.3680043.8.498.77{place:02}4242" for place, name in enumerate(("study", "series", "frame"))}
TEXTS = {
    "PatientName": "QUOKKA^WOMBAT",
    "PatientID": "KIWI-448812",
    "PatientBirthDate": "19310714",
    "PatientAddress": "EMUSTREET 12",
    "OtherPatientIDs": "DINGO991",
    "AccessionNumber": "ACCKOALA77",
    "InstitutionName": "PLATYPUS HOSPITAL",
    "InstitutionalDepartmentName": "BANDICOOT WARD",
    "ReferringPhysicianName": "NUMBAT^DOC",
    "OperatorsName": "ECHIDNA^OP",
    "StudyDescription": "BILBY STUDY",
    "SeriesDescription": "CASSOWARY SERIES",
    "ProtocolName": "LYREBIRD PROTOCOL",
    "StudyID": "GALAH5",
    "StationName": "MAGPIESTATION",
    "DeviceSerialNumber": "SER-LORIKEET",
    "ManufacturerModelName": "DRONGO 3000",
    "Manufacturer": "KOOKABURRA INC",
    "SoftwareVersions": "SW-BROLGA",
    "BodyPartExamined": "WALLABYPART",
    "PatientComments": "TAIPAN COMMENT",
    "ImageComments": "GOANNA COMMENT",
    "StudyTime": "114243.424242",
    "ContrastBolusAgent": "POSSUMOL",
}
PRIVATE_TAG = "CURRAWONG PRIVATE"
ROI = "THYLACINE GTV"
FILES = {"folder": "BETTONG_JANE_1931", "file": "POTOROO-7.dcm", "junk": "QUOLL notes.txt"}
STUDY_DATE = "20140923"
CLOSED = {"Modality": "GLIDER", "sop class": "1.2.826.0.1.3680043.8.498.99994242"}

CANARIES = {
    **{name: word for name, text in TEXTS.items() for word in [text.split("^")[0].split(" ")[0]]},
    "given name": "WOMBAT",
    "private tag": "CURRAWONG",
    "roi": "THYLACINE",
    "study date": STUDY_DATE,
    "instance": "4242.1.3",
    "junk text": "KANGAROO",
    **{f"uid {name}": uid for name, uid in UIDS.items()},
    **{f"name of the {name}": text.split(".")[0].split(" ")[0] for name, text in FILES.items()},
    **CLOSED,
}


def forms(canary):
    """Return the bytes a canary may hide in: as it is, in lower case, reversed, as UTF-16, in base64."""
    plain = canary.encode()
    found = {plain, plain.lower(), plain[::-1], canary.encode("utf-16-le"), plain.hex().encode()}
    for shift in range(3):
        # what surrounds a text shifts its letters in base64; the middle of each shift is its own
        text = base64.b64encode(b"\0" * shift + plain).rstrip(b"=")
        found.add(text[4 if shift else 0 : -2])
    return {form for form in found if len(form) > 4}


NEEDLES = [(name, form) for name, canary in CANARIES.items() for form in forms(canary)]


def found_in(data):
    return sorted({name for name, form in NEEDLES if form in data})


def marked(place, *, series=1, **elements):
    """Return a slice that names its patient wherever it can."""
    dataset = ct_slice(
        place,
        StudyInstanceUID=UIDS["study"],
        series=str(series),
        SeriesInstanceUID=f"{UIDS['series']}.{series}",
        FrameOfReferenceUID=UIDS["frame"],
        SOPInstanceUID=f"{UIDS['series']}.{series}.{place}4242.1.3",
        StudyDate=STUDY_DATE,
        PatientAge="083Y",
        **{**TEXTS, **elements},
    )
    block = dataset.private_block(0x0011, "CURRAWONG CREATOR", create=True)
    block.add_new(0x01, "LO", PRIVATE_TAG)
    return dataset


def structure_set():
    """Return an RTSTRUCT with one contour on the marked series, under a patient's name."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    dataset.SOPInstanceUID = f"{UIDS['series']}.77.4242.1.3"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = UIDS["study"], f"{UIDS['series']}.77"
    dataset.Modality, dataset.FrameOfReferenceUID = "RTSTRUCT", UIDS["frame"]
    dataset.StructureSetLabel = ROI
    for keyword, text in TEXTS.items():
        if keyword not in {"ContrastBolusAgent", "BodyPartExamined", "ImageComments"}:
            setattr(dataset, keyword, text)
    contour = Dataset()
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 4
    contour.ContourData = [10.0, 10.0, 4.0, 30.0, 10.0, 4.0, 30.0, 30.0, 4.0, 10.0, 30.0, 4.0]
    drawn = Dataset()
    drawn.ReferencedROINumber, drawn.ContourSequence = 1, Sequence([contour])
    named = Dataset()
    named.ROINumber, named.ROIName, named.ReferencedFrameOfReferenceUID = 1, ROI, UIDS["frame"]
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = f"{UIDS['series']}.1"
    study.RTReferencedSeriesSequence = Sequence([series])
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = UIDS["frame"], Sequence([study])
    dataset.ReferencedFrameOfReferenceSequence = Sequence([frame])
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence([named]), Sequence([drawn])
    return dataset


def make_archive(folder):
    """Write canaries: good series, one that cannot be decoded, one that is slow, broken files, odd words."""
    home = folder / FILES["folder"]
    for place in range(6):
        write(marked(place), home / f"{place}-{FILES['file']}")
        spoilt = marked(place, series=2)
        spoilt.file_meta.TransferSyntaxUID = RLELossless
        fragment = b"\x05\0\0\0" + b"KANGAROO" * 20
        spoilt.PixelData = (
            b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0" + len(fragment).to_bytes(4, "little") + fragment
        ) + b"\xfe\xff\xdd\xe0\0\0\0\0"
        spoilt["PixelData"].VR = "OB"
        spoilt["PixelData"].is_undefined_length = True
        write(spoilt, home / "spoilt" / f"{place}-{FILES['file']}")
    for place in range(8):
        pixels = np.random.default_rng(place).integers(0, 2000, (512, 512)).astype(np.uint16)
        slow = {"Rows": 512, "Columns": 512, "PixelData": pixels.tobytes(), "PatientID": "KIWI-448813"}
        write(marked(place, series=3, **slow), home / "slow" / f"{place}-{FILES['file']}")
    write(structure_set(), home / "rt.dcm")
    write(marked(0, series=4, Modality=CLOSED["Modality"]), home / "odd.dcm")
    write(marked(0, series=5, SOPClassUID=CLOSED["sop class"]), home / "class.dcm")
    whole = (home / f"0-{FILES['file']}").read_bytes()
    (home / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    (home / "bent.dcm").write_bytes(whole[:400] + b"QUOKKA^WOMBAT" * 50)
    (home / FILES["junk"]).write_text("KANGAROO, a patient, KIWI-448812\n")
    (home / "link").symlink_to(home / FILES["junk"])
    return folder


RECIPE = """
name = "watch"
[[route]]
name = "slow"
where = { modality = "CT", min_slices = 8 }
image = [ SLOW ]
regions = [ { op = "body" } ]
features = [ { name = "lbp", op = "lbp", image = "final" } ]
[[route]]
name = "ct"
where = { modality = "CT", min_slices = 3 }
image = [ { op = "gaussian", sigma_mm = 1.0 } ]
regions = [ { op = "body", opening_mm = 0.0 }, { op = "segmentation_objects", map = { gtv = "(?i)gtv" } } ]
features = [ { name = "first", op = "ibsi", families = ["statistics"] }, { name = "lbp", op = "lbp", image = "final" } ]
models = [ "phantom-ct-noise" ]
keep = [ "original", "final" ]
[[route]]
name = "store"
""".replace("SLOW", ", ".join(['{ op = "tv", weight = 50.0, iterations = 500 }'] * 20))


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Run over the canaries by Dask; return the folder and all that was said."""
    folder = tmp_path_factory.mktemp("watched")
    archive = make_archive(folder / "archive")
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "site.toml").write_text("workers = 2\n[limits]\ncase_s = 6.0\n")
    write_key(folder / "home")
    words = ("--lake", folder / "lake", "-r", folder / "recipe.toml", "--site", folder / "site.toml")
    ended = medpipe("run", archive, *words, home=folder / "home", before=("env", "MEDPIPE_TRACEBACK=1"))
    assert ended.code == 2, ended.err
    return folder, ended


@pytest.fixture(scope="module")
def lake(watched):
    return watched[0] / "lake"


def opened(path):
    """Yield the bytes of a file of the lake, and whatever can be unpacked from them."""
    data = path.read_bytes()
    yield data
    if path.name.endswith(".zst"):
        yield pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    if path.suffix == ".parquet":
        table = pq.read_table(io.BytesIO(data))
        yield json.dumps(table.to_pylist(), default=str).encode()
        yield repr(table.schema.metadata).encode() + repr(pq.read_metadata(io.BytesIO(data)).metadata).encode()
    if path.name == "zarr.json":
        yield json.dumps(json.loads(data), ensure_ascii=False).encode()


def test_the_archive_does_hold_every_canary(watched):
    folder, _ = watched
    data = b"".join(path.read_bytes() for path in (folder / "archive").rglob("*") if path.is_file())
    names = "\n".join(str(path) for path in (folder / "archive").rglob("*")).encode()
    assert set(found_in(data + names)) == set(CANARIES)


def test_the_run_met_what_it_was_to_meet(lake):
    outcomes = {(row["outcome"], row["code"]) for row in rows(lake, "cases")}
    assert ("failed", "E_TIMEOUT") in outcomes
    assert ("done", None) in outcomes
    assert ("rejected", "E_CODEC_ERROR") in outcomes
    codes = {row["code"] for row in rows(lake, "instances")}
    assert {"E_TRUNCATED", "E_NOT_DICOM", "E_SYMLINK", "E_TIMEOUT"} <= codes
    names = {(row["name"], row["source"]) for row in rows(lake, "regions")}
    assert ("gtv", "rtstruct") in names
    assert rows(lake, "scores")


def test_no_byte_outside_the_private_room_names_a_patient(lake):
    leaks = {}
    for path in sorted(lake.rglob("*")):
        if path.is_file() and not path.is_relative_to(lake / "private"):
            found = {name for data in opened(path) for name in found_in(data)}
            if found:
                leaks[str(path.relative_to(lake))] = sorted(found)
    assert leaks == {}


def test_no_path_of_the_lake_names_a_patient(lake):
    assert found_in("\n".join(path.relative_to(lake).as_posix() for path in lake.rglob("*")).encode()) == []


def test_the_private_room_holds_nothing_in_clear(lake):
    files = [path for path in (lake / "private").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert path.suffix == ".sealed"
        assert found_in(path.read_bytes()) == []


def test_the_private_room_opens_with_the_key_and_does_hold_what_finds_a_file(watched, lake):
    folder, _ = watched
    private = Lake.open(lake, secret=load_secret(folder / "home" / "medpipe" / "key")).private
    text = b"".join(private.get(name) for name in private.names())
    assert {"name of the folder", "name of the file", "uid series", "PatientID"} <= set(found_in(text))


def test_nothing_that_was_said_names_a_patient(watched):
    _, ended = watched
    assert ended.out
    assert ended.err
    assert found_in((ended.out + ended.err).encode()) == []
    assert "Traceback" not in ended.err


def test_volumes_are_stored_without_a_name(lake):
    stores = [row["store"] for row in rows(lake, "volumes") if row["store"]]
    assert stores
    for store in stores:
        attributes = dict(zarr.open_group(str(lake / store), mode="r").attrs)
        assert found_in(json.dumps(attributes).encode()) == []
        assert attributes["medpipe"]["modality"] in {"CT", "OT"}


@pytest.mark.parametrize("suffix", ["csv", "xlsx", "parquet"])
def test_no_export_names_a_patient(watched, lake, tmp_path, suffix):
    from medpipe.app.query import export_lake

    for table in table_names(Lake.open(lake)):
        out = tmp_path / f"{table}.{suffix}"
        export_lake(lake, table, out)
        data = out.read_bytes()
        if suffix == "xlsx":
            with zipfile.ZipFile(out) as book:
                data = b"".join(book.read(name) for name in book.namelist())
        if suffix == "parquet":
            data += json.dumps(pq.read_table(out).to_pylist(), default=str).encode()
        assert found_in(data) == []


def test_no_answer_names_a_patient(watched, lake):
    from medpipe.app.explain import explain_key
    from medpipe.app.status import lake_status
    from medpipe.app.verify import verify_lake

    answers = [lake_status(lake), verify_lake(lake)]
    for kind, table in (
        ("volume_key", "volumes"),
        ("region_key", "regions"),
        ("series_key", "series"),
        ("instance_key", "instances"),
    ):
        answers += [explain_key(lake, row[kind]) for row in rows(lake, table)[:8]]
    assert found_in(json.dumps(answers, default=str).encode()) == []


def test_what_is_public_is_still_worth_having(lake):
    series = rows(lake, "series")
    assert {row["manufacturer"] for row in series} == {"OTHER"}
    assert {row["age_band"] for row in series} <= {"80-89", None}
    assert {row["period"] for row in series} <= {"2014", None}
    assert {row["study_day"] for row in series} <= {0, None}
    assert {row["modality"] for row in series} == {"CT", "RTSTRUCT", "OT"}
    assert len({row["patient_key"] for row in series}) == 2
    assert len({row["scanner_key"] for row in series}) == 1


def test_the_same_patient_has_the_same_key_by_the_same_secret_only(watched, lake, tmp_path):
    folder, _ = watched
    other = tmp_path / "home"
    write_key(other, digit="6")
    ended = medpipe("scan", folder / "archive", "--lake", tmp_path / "lake", home=other)
    assert ended.code == 0
    assert found_in((ended.out + ended.err).encode()) == []
    from tests.lake.at_once import read_index

    theirs = set(read_index(Lake.open(tmp_path / "lake"), "series").column("patient_key").to_pylist())
    ours = set(read_table(Lake.open(lake), "series").column("patient_key").to_pylist())
    assert theirs.isdisjoint(ours)
    assert len(theirs) == len(ours)
