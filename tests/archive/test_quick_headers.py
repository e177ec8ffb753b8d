"""The quick reader beside the whole reading: what it takes must be equal in every field."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from medpipe.archive.header import Header, read_header
from medpipe.archive.quick.dataset import HeadDataset, Known
from medpipe.archive.quick.doubt import Doubt
from medpipe.archive.quick.reader import FIRST_BYTES, QuickReader
from medpipe.archive.quick.wanted import ROLES
from medpipe.archive.source import FolderSource
from medpipe.synth.make import make_archive
from tests.archive.conftest import make_slice, to_bytes
from tests.faults.classes import FAULTS
from tests.fuzz.anatomy import take_apart
from tests.fuzz.mutators import MUTATORS
from tests.fuzz.seeds import Seed, own_seeds, real_seeds

PIXELS = np.arange(48, dtype=np.uint16).reshape(6, 8)
FIELDS = tuple(Header.__struct_fields__)


def quickly(reader: QuickReader, data: bytes, first: int = FIRST_BYTES) -> Header | None:
    """Return what the quick reader makes of a file of which it is given the first bytes."""

    def more(offset: int, count: int) -> bytes:
        return data[offset : offset + count]

    return reader.read(data[:first], path="a", size=len(data), version="1", more=more)


def wholly(data: bytes) -> Header:
    return read_header(data, path="a", size=len(data), version="1")


def unequal(header: Header, data: bytes) -> list[str]:
    """Return the fields in which a header differs from that of the whole reading, to the last sign."""
    whole = wholly(data)
    return [name for name in FIELDS if repr(getattr(header, name)) != repr(getattr(whole, name))]


def compared(files: Iterator[tuple[str, bytes]], first: int = FIRST_BYTES) -> tuple[list[str], list[str], int]:
    """Return the files read otherwise, those handed over, and how many there are."""
    reader = QuickReader()
    wrong, handed_over, count = [], [], 0
    for name, data in files:
        count += 1
        header = quickly(reader, data, first)
        if header is None:
            handed_over.append(name)
        elif differences := unequal(header, data):
            wrong.append(f"{name}: {differences}")
    return wrong, handed_over, count


@pytest.mark.data
def test_every_file_of_the_reference_archive_is_read_alike_or_handed_over(data_root):
    source = FolderSource(data_root / "archive")
    files = ((item.path, source.open(item.path)) for item in source.scan() if item.problem is None)
    wrong, handed_over, count = compared(files)
    print(f"{len(handed_over)} of {count} files handed over: {handed_over}")
    assert wrong == []
    assert count > 1000
    assert len(handed_over) <= 0.025 * count


def test_phantoms_of_all_kinds_are_read_alike_and_none_is_handed_over(tmp_path):
    make_archive(tmp_path, studies=2, seed=7)
    files = sorted(path for path in (tmp_path / "archive").rglob("*") if path.is_file())
    wrong, handed_over, count = compared((str(path), path.read_bytes()) for path in files)
    assert wrong == []
    assert {Path(name).parent.name for name in handed_over} <= {"incoming"}
    assert count > 100


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 8])
def test_faults_of_all_classes_are_read_alike(every):
    instances = ((name, FAULTS[name].instance(0, 7)) for name in sorted(FAULTS)[::every])
    planted = ((f"{name}/{path}", data) for name, instance in instances for path, data in instance.files.items())
    wrong, handed_over, count = compared(planted)
    assert wrong == []
    # some classes are of files that are none, or without a preamble
    assert len(handed_over) < 0.08 * count


def test_structure_sets_keep_the_times_they_were_made(slice_of, bytes_of):
    reader = QuickReader()
    for day in ("20200101", "20210101", "20190101"):
        one = Dataset()
        one.file_meta = slice_of(np.zeros((2, 2), np.uint16)).file_meta
        one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{day}"
        one.InstanceCreationDate, one.InstanceCreationTime = day, "101500"
        one.StudyInstanceUID, one.SeriesInstanceUID, one.Modality = "1.2.3", "1.2.4", "RTSTRUCT"
        data = bytes_of(one)
        header = quickly(reader, data)
        assert header is None or header.made_at == wholly(data).made_at == f"{day}101500000000"


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> list[Seed]:
    return own_seeds(tmp_path_factory.mktemp("seeds"))


def mutants(seeds: list[Seed], count: int) -> Iterator[tuple[str, bytes]]:
    anatomies = [take_apart(seed.data) for seed in seeds]
    for number in range(count):
        rng = random.Random(number)
        file = rng.choice(anatomies)
        mutator = rng.choice(MUTATORS)
        yield f"{number} {mutator.__name__}", mutator(rng, file, rng.choice(anatomies))


@pytest.mark.parametrize("count", [3000, pytest.param(30_000, marks=pytest.mark.long)])
def test_damaged_files_are_read_alike_or_handed_over(seeds, count):
    wrong, handed_over, _ = compared(mutants(seeds, count))
    assert wrong == []
    assert len(handed_over) < 0.8 * count


@pytest.mark.data
@pytest.mark.parametrize("count", [2000, pytest.param(20_000, marks=pytest.mark.long)])
def test_damaged_files_of_others_are_read_alike_or_handed_over(data_root, count):
    wrong, _, _ = compared(mutants(real_seeds(data_root), count))
    assert wrong == []


def test_sound_files_of_our_own_are_taken(seeds):
    wrong, handed_over, count = compared((seed.name, seed.data) for seed in seeds)
    assert wrong == []
    assert handed_over == []
    assert count > 30


@pytest.mark.parametrize("every", [pytest.param(7, marks=pytest.mark.long), 97])
def test_a_file_cut_at_any_byte_is_read_alike_or_handed_over(seeds, every):
    cut = (
        (f"{seed.name} {end}", seed.data[:end])
        for seed in seeds
        for end in {*range(0, len(seed.data), every), *range(len(seed.data) - 9, len(seed.data))}
    )
    assert compared(cut)[0] == []


@pytest.mark.parametrize("first", [1, 150, 400, 700])
def test_it_makes_no_difference_how_many_bytes_come_first(seeds, first):
    wrong, handed_over, _ = compared(((seed.name, seed.data) for seed in seeds), first)
    assert (wrong, handed_over) == ([], [])


def test_a_header_longer_than_the_first_bytes_is_read_on(slice_of, bytes_of):
    dataset = slice_of(PIXELS)
    dataset.private_block(0x0011, "OURS", create=True).add_new(0x01, "OB", bytes(300_000))
    data = bytes_of(dataset)
    asked = []

    def more(offset, count):
        asked.append((offset, count))
        return data[offset : offset + count]

    header = QuickReader().read(data[:FIRST_BYTES], path="a", size=len(data), version="1", more=more)
    assert header is not None
    assert unequal(header, data) == []
    assert 1 <= len(asked) <= 3


def test_bytes_that_do_not_come_are_for_the_whole_reading(slice_of, bytes_of):
    data = bytes_of(slice_of(PIXELS))
    assert QuickReader().read(data[:300], path="a", size=len(data), version="1", more=lambda *_: b"") is None


CHANGES = (
    {"ImagePositionPatient": [0, 0, 5.5], "InstanceNumber": 7},
    {"ImagePositionPatient": [1, 2]},
    {"ImagePositionPatient": None},
    {"InstanceNumber": None, "AcquisitionTime": ""},
    {"AcquisitionNumber": 3, "EchoTime": 1.5},
    {"EchoTime": "-0", "TriggerTime": "12.5", "TemporalPositionIdentifier": "-0"},
    {"RescaleSlope": 0.0},
    {"RescaleSlope": 1e-31},
    {"RescaleSlope": [1, 2]},
    {"RescaleSlope": None},
    {"RescaleSlope": -2.5, "RescaleIntercept": 3},
    {"RescaleIntercept": None},
    {"AcquisitionDate": "20200101", "SeriesTime": "101112"},
    {"PatientID": "P2"},
    {"ContrastBolusAgent": ""},
    {"ContrastBolusAgent": "agent"},
    {"ImageType": ["ORIGINAL", "PRIMARY", "MOSAIC"]},
    {"NumberOfFrames": 2},
    {"Rows": 7},
    {"PixelPaddingValue": 40, "PixelRepresentation": 1},
)


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_slices_that_differ_from_a_pattern_in_one_thing_are_read_alike(syntax):
    plain = {"AcquisitionTime": "101010", "AcquisitionNumber": 1, "EchoTime": 9.0, "InstanceNumber": 1}
    reader = QuickReader()
    # in both orders: either may be the one that the pattern is made of
    for changes in ({}, *CHANGES, {}, *reversed(CHANGES)):
        dataset = make_slice(PIXELS, **{**plain, **changes})
        if "PixelPaddingValue" in dataset:
            dataset["PixelPaddingValue"].VR = "US"
        if syntax is not None:
            dataset.file_meta.TransferSyntaxUID = syntax
        data = to_bytes(dataset)
        header = quickly(reader, data)
        assert header is not None, changes
        assert unequal(header, data) == [], changes


def test_directories_are_no_pattern_for_one_another():
    reader = QuickReader()
    for number in (None, 7):
        dataset = make_slice(PIXELS, SOPClassUID="1.2.840.10008.1.3.10", InstanceNumber=number or "", PixelData=None)
        data = to_bytes(dataset)
        header = quickly(reader, data)
        assert header is not None
        assert (header.code, unequal(header, data)) == ("E_DICOMDIR", [])


@pytest.mark.parametrize(
    ("sets", "said", "is_taken"),
    [
        ("", "plain", True),
        ("ISO_IR 100", "Müller", True),
        ("ISO_IR 192", "東京 Müller", True),
        ("ISO_IR 144", "plain", True),
        ("ISO_IR 144", "Я", False),
        (["", "ISO 2022 IR 87"], "plain", True),
        (["", "ISO 2022 IR 87"], "山田", False),
        ("GB18030", "王", False),
    ],
)
def test_texts_of_other_alphabets_are_read_where_their_set_is_plain(sets, said, is_taken):
    data = to_bytes(make_slice(PIXELS, SpecificCharacterSet=sets, SeriesDescription=said))
    header = quickly(QuickReader(), data)
    assert (header is not None) == is_taken
    if header is not None:
        assert unequal(header, data) == []
        assert header.facts["series_description"] == said


@pytest.mark.parametrize("tail", [bytes(2), bytes(512), struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, 6) + bytes(6)])
def test_what_follows_the_pixels_is_read_alike(tail):
    data = to_bytes(make_slice(PIXELS)) + tail
    header = quickly(QuickReader(), data)
    assert header is not None
    assert unequal(header, data) == []


@pytest.mark.parametrize(
    "tail", [b"abc", bytes(8) + b"x", struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, 7) + bytes(6)]
)
def test_what_is_no_element_after_the_pixels_is_for_the_whole_reading(tail):
    assert quickly(QuickReader(), to_bytes(make_slice(PIXELS)) + tail) is None


def test_sequences_of_both_kinds_of_length_are_read_alike(slice_of, bytes_of):
    group, item = Dataset(), Dataset()
    item.RealWorldValueSlope = 2.0
    group.RealWorldValueMappingSequence = [item]
    for is_undefined in (False, True):
        dataset = slice_of(PIXELS, SharedFunctionalGroupsSequence=[group], ReferencedImageSequence=[item, item])
        for keyword in ("SharedFunctionalGroupsSequence", "ReferencedImageSequence"):
            dataset[keyword].is_undefined_length = is_undefined
        data = bytes_of(dataset)
        header = quickly(QuickReader(), data)
        assert header is not None
        assert header.has_real_world_map
        assert unequal(header, data) == []


def test_an_element_that_is_not_looked_for_raises_doubt_instead_of_being_absent():
    dataset = HeadDataset(listed=ROLES, known=Known(), encoding="iso8859", is_big=False)
    assert dataset.numbers("Rows") == dataset.texts("PatientID") == dataset.items("MREchoSequence") == ()
    for ask in (dataset.numbers, dataset.texts, dataset.items, dataset.__contains__):
        with pytest.raises(Doubt):
            ask("PatientComments")


def test_values_that_were_met_are_forgotten_in_time(monkeypatch):
    monkeypatch.setattr("medpipe.archive.quick.dataset.MOST_KNOWN", 20)
    known = Known()
    known.texts.update({("LO", bytes([number])): ("",) for number in range(21)})
    known.forget()
    assert known.texts == {}
