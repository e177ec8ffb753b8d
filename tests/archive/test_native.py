"""Pixels taken from their place in the file, against pydicom's decoding of the same file."""

from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from medpipe.archive import voxels
from medpipe.archive.native import is_native, native_frames
from medpipe.archive.source import FolderSource, Loader
from medpipe.errors import Rejected

RNG = np.random.default_rng(11)


def noise(kind, shape=(7, 9)):
    return RNG.integers(np.iinfo(kind).min, np.iinfo(kind).max + 1, shape).astype(kind)


CASES = {
    "16 bits, signed": (np.int16, {}),
    "16 bits": (np.uint16, {"RescaleSlope": "0.37", "RescaleIntercept": "-11.5"}),
    "12 of 16 bits with others above": (np.uint16, {"BitsStored": 12, "HighBit": 11}),
    "signed 12 of 16 bits": (np.int16, {"BitsStored": 12, "HighBit": 11}),
    "12 bits that begin above": (np.uint16, {"BitsStored": 12, "HighBit": 15}),
    "8 bits, an odd number of them": (np.uint8, {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}),
    "8 bits, signed": (np.int8, {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}),
    "implicit": (np.int16, {"syntax": ImplicitVRLittleEndian}),
    "values beyond float32": (np.int16, {"RescaleSlope": "3e36"}),
}


def files_of(slice_of, kind, elements):
    made = []
    for place in range(3):
        pixels = noise(kind)
        extra = {name: value for name, value in elements.items() if name != "syntax"}
        one = slice_of(pixels, position=(0, 0, 2.5 * place), InstanceNumber=place, **extra)
        one.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
        one.file_meta.TransferSyntaxUID = elements.get("syntax", one.file_meta.TransferSyntaxUID)
        made.append(one)
    return made


def loaded(archive):
    try:
        volume, quantization = archive.load()
    except voxels.Rejected as rejected:
        return rejected.code
    return volume.data.tobytes(), quantization


@pytest.mark.parametrize("name", CASES)
def test_they_are_what_pydicom_decodes(name, slice_of, archive_of, monkeypatch):
    archive = archive_of(files_of(slice_of, *CASES[name]))
    assert all(is_native(header) for header in archive.headers.values())
    found = loaded(archive)
    monkeypatch.setattr(voxels, "is_native", lambda header: False)
    assert found == loaded(archive)


def test_frames_of_one_file_are_taken_one_by_one(slice_of, archive_of, monkeypatch):
    frames = noise(np.int16, (4, 5, 6))
    one = slice_of(frames[0], NumberOfFrames=4, ImagePositionPatient=None, ImageOrientationPatient=None)
    one.PixelData = frames.tobytes()
    archive = archive_of([one])
    (header,) = archive.headers.values()
    assert np.array_equal(native_frames(header, archive.files["0"]), frames)
    assert np.array_equal(archive.load()[0].data, frames - np.float32(1024))


def test_they_are_written_over_what_an_array_held(slice_of, archive_of):
    archive = archive_of(files_of(slice_of, np.int16, {}))
    (stack,) = archive.assembly.stacks
    held = np.full(stack.shape, np.nan, np.float32)
    volume, _ = voxels.load_volume(stack, archive.headers, archive.files.__getitem__, into=held)
    assert volume.data is held
    assert np.array_equal(held, archive.load()[0].data)


@pytest.mark.parametrize("scale", [(float("nan"), 0.0), (1.0, float("inf"))])
def test_a_scale_that_is_no_number_is_refused(slice_of, archive_of, scale):
    archive = archive_of(files_of(slice_of, np.int16, {}))
    headers = {
        path: structs.replace(one, top=structs.replace(one.top, slope=scale[0], intercept=scale[1]))
        for path, one in archive.headers.items()
    }
    with pytest.raises(Rejected) as caught:
        voxels.load_volume(archive.assembly.stacks[0], headers, archive.files.__getitem__)
    assert caught.value.code == "E_NONFINITE"


@pytest.mark.parametrize("is_taken_from_its_place", [True, False])
def test_a_plane_that_no_file_gives_is_no_old_one(slice_of, archive_of, monkeypatch, is_taken_from_its_place):
    archive = archive_of(files_of(slice_of, np.int16, {}))
    stack = replace(archive.assembly.stacks[0], members=archive.assembly.stacks[0].members[:-1])
    if not is_taken_from_its_place:
        monkeypatch.setattr(voxels, "is_native", lambda header: False)
    with pytest.raises(Rejected) as caught:
        voxels.load_volume(stack, archive.headers, archive.files.__getitem__, into=np.ones(stack.shape, np.float32))
    assert caught.value.code == "E_FRAME_COUNT"


@pytest.mark.parametrize(
    "change",
    [
        lambda one: setattr(one, "PixelData", one.PixelData + bytes(4)),
        lambda one: one.compress(RLELossless),
        lambda one: setattr(one.file_meta, "TransferSyntaxUID", ExplicitVRBigEndian),
        lambda one: setattr(one, "PhotometricInterpretation", "PALETTE COLOR"),
        lambda one: setattr(one, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.66.4"),
    ],
    ids=["more pixels than declared", "run lengths", "big endian", "palette", "segmentation"],
)
def test_others_are_decoded(change, slice_of, archive_of):
    (one,) = files_of(slice_of, np.int16, {})[:1]
    change(one)
    (header,) = archive_of([one]).headers.values()
    assert not is_native(header)


def test_a_loader_reads_each_file_into_the_memory_of_the_one_before(tmp_path):
    for name, data in (("a", b"one"), ("b", b""), ("c", bytes(range(200)))):
        (tmp_path / name).write_bytes(data)
    loader = Loader(FolderSource(tmp_path))
    for name in "abcab":
        data, version = loader.load(name)
        assert bytes(data) == (tmp_path / name).read_bytes()
        assert version.startswith(f"{len(data)}-{(tmp_path / name).stat().st_mtime_ns}-")


def _without(*keywords):
    def change(one):
        for keyword in keywords:
            delattr(one, keyword)

    return change


@pytest.mark.parametrize(
    "change",
    [
        _without("PixelRepresentation"),
        _without("BitsStored"),
        _without("BitsStored", "HighBit"),
        _without("SamplesPerPixel"),
        lambda one: setattr(one, "PixelRepresentation", 2),
        lambda one: setattr(one, "PixelRepresentation", [0, 1]),
        lambda one: setattr(one, "BitsStored", 0),
        lambda one: setattr(one, "Rows", [7, 9]),
    ],
    ids=["sign", "bits", "bits and high bit", "samples", "sign of 2", "two signs", "no bits", "two heights"],
)
def test_pixels_are_refused_where_it_is_not_said_how_they_are_stored(change, slice_of, archive_of):
    (one, *_) = files_of(slice_of, np.int16, {})
    change(one)
    archive = archive_of([one])
    assert [outcome.code for outcome in archive.assembly.outcomes.values()] == ["E_DIMENSIONS"]


def test_each_file_of_a_stack_is_asked_for_once(slice_of, archive_of):
    # asked for again after another one, a file is opened and read again
    archive = archive_of(files_of(slice_of, np.int16, {}))
    (stack,) = archive.assembly.stacks
    asked = []

    class Asked(dict):
        def __getitem__(self, path):
            asked.append(path)
            return super().__getitem__(path)

    voxels.load_volume(stack, Asked(archive.headers), archive.files.__getitem__, with_maps=True, with_display=True)
    assert sorted(asked) == sorted(archive.headers)
