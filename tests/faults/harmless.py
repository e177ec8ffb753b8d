"""What looks wrong and is not: the volume must be the sound one, and nothing is told."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.filebase import DicomBytesIO
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from medpipe.archive.gate import DEFLATED
from tests.faults.edits import edited, garbled, packed, planted, with_files
from tests.faults.registry import named, sound
from tests.faults.series import Series, to_bytes
from tests.faults.verdicts import Planted, harmless

RLE, JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"


@sound("files in any order under any name")
def shuffled(series: Series, rng: np.random.Generator) -> Planted:
    files = [to_bytes(dataset) for dataset in series.files]
    names = ["DICOMDIR.bak", "a b/ü", "IM 1", "-x", "%41", "con", "..hidden", "0", "00", "x.jpg", "\t", "é", "z" * 200]
    order = rng.permutation(len(files))
    return Planted({names[k]: files[index] for k, index in enumerate(order)}, harmless(series))


@sound("random instance numbers", "ct", "mr", "pet", "timed")
def numbered_at_random(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    for dataset, number in zip(changed.files, rng.permutation(5000), strict=False):
        dataset.InstanceNumber = int(number)
    return planted(changed, rng, harmless(series))


@sound("one instance number for all")
def numbered_alike(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, InstanceNumber=1), rng, harmless(series))


@sound("no instance numbers")
def numberless(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, InstanceNumber=None), rng, harmless(series))


@sound("slice locations that run the other way, at random")
def misplaced_locations(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    for dataset in changed.files:
        dataset.SliceLocation = f"{rng.uniform(-900, 900):.6g}"
    return planted(changed, rng, harmless(series))


@sound("thickness and spacing between slices of another scan")
def wrong_thickness(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, SliceThickness=f"{rng.uniform(0.1, 20):.4g}", SpacingBetweenSlices="-3.3")
    return planted(changed, rng, harmless(series))


@sound("acquisition numbers and times that differ from slice to slice")
def many_acquisitions(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    for dataset in changed.files:
        dataset.AcquisitionNumber = int(rng.integers(100))
        dataset.AcquisitionTime = f"{rng.integers(10, 24)}{rng.integers(10, 60)}{rng.integers(10, 60)}"
        dataset.ContentTime, dataset.TriggerTime = "101010", f"{rng.integers(1000)}"
    return planted(changed, rng, harmless(series))


@sound("no series UID")
def seriesless(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, SeriesInstanceUID=None), rng, harmless(series))


@sound("private elements and text that is no text")
def private_rubbish(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, SpecificCharacterSet="ISO_IR 100")
    for dataset in changed.files:
        dataset.add_new(0x00091001, "UN", rng.bytes(33))
        dataset.add_new(0x000910FF, "OB", rng.bytes(64))
    return Planted(garbled(named(changed, rng), b"ISO_IR 100", b"ISO_IR 999"), harmless(series))


@sound("overlay bits in unused high bits", "ct", "mr", "timed", "enhanced")
def overlay_bits(series: Series, rng: np.random.Generator) -> Planted:
    stored = series.stored.astype(np.int64)
    # twelve bits are used; signed ones lose their extension, as some scanners write them
    twelve = (stored & 0x0FFF) | (rng.integers(0, 16, stored.shape) << 12)
    sign = np.where(stored & 0x0800, (stored & 0x0FFF) - 0x1000, stored & 0x0FFF)
    signed = series.stored.dtype == np.int16
    meant = series.changed(stored=(sign if signed else stored & 0x0FFF).astype(series.stored.dtype))
    planes = (twelve & 0xFFFF).astype(np.uint16)
    changed = edited(meant, BitsStored=12, HighBit=11)
    for index, dataset in enumerate(changed.files):
        dataset.PixelData = (planes if series.kind == "enhanced" else planes[index]).tobytes()
    return planted(changed, rng, harmless(meant))


@sound("pixels in the upper bits, rubbish in the lower", "mr", "timed")
def upper_bits(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, BitsStored=12, HighBit=15)
    for index, dataset in enumerate(changed.files):
        plane = (series.stored[index] << 4) | rng.integers(0, 16, series.stored[index].shape).astype(np.uint16)
        dataset.PixelData = plane.tobytes()
    return planted(changed, rng, harmless(series))


@sound("another slope and intercept in every slice", "ct", "pet")
def slopes_by_slice(series: Series, rng: np.random.Generator) -> Planted:
    texts = [[f"{a:.10g}", f"{b:.7g}"] for a, b in zip(rng.uniform(1e-3, 50, 40), rng.uniform(-9, 9, 40), strict=True)]
    n = len(series.files)
    changed = series.changed(scales=np.array(texts[:n], dtype=np.float64))
    for dataset, (slope, intercept) in zip(changed.files, texts, strict=False):
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    return planted(changed, rng, harmless(changed))


@sound("big endian", "ct", "mr", "pet", "timed", "enhanced")
def big_endian(series: Series, rng: np.random.Generator) -> Planted:
    files = {path: _transcoded(data, ExplicitVRBigEndian) for path, data in named(series, rng).items()}
    return Planted(files, harmless(series))


@sound("implicit VR in a part of the files")
def implicit(series: Series, rng: np.random.Generator) -> Planted:
    files = {
        path: _transcoded(data, ImplicitVRLittleEndian) if rng.integers(2) else data
        for path, data in named(series, rng).items()
    }
    return Planted(files, harmless(series))


@sound("deflated", "ct", "mr", "pet", "timed", "enhanced")
def deflated(series: Series, rng: np.random.Generator) -> Planted:
    return Planted({path: _deflated(data) for path, data in named(series, rng).items()}, harmless(series))


@sound("files compressed without loss, each in another way")
def compressed(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    # the encoder of JPEG 2000 wants 32 pixels a side
    syntaxes = [RLE, JPEG_LS, JPEG_2000][: 3 if series.files[0].Rows >= 32 else 2]
    for index in range(len(changed.files)):
        changed.files[index] = packed(changed.files[index], syntaxes[int(rng.integers(len(syntaxes)))])
    return planted(changed, rng, harmless(series))


@sound("frames of a multi-frame object in any order", "enhanced")
def frames_in_any_order(series: Series, rng: np.random.Generator) -> Planted:
    changed, order = series.changed(), rng.permutation(len(series))
    dataset = changed.files[0]
    groups = dataset.PerFrameFunctionalGroupsSequence
    dataset.PerFrameFunctionalGroupsSequence = Sequence([groups[int(index)] for index in order])
    dataset.PixelData = series.stored[order].tobytes()
    return planted(changed, rng, harmless(series))


@sound("what the frames share is said for each", "enhanced")
def nothing_shared(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    shared = changed.files[0].SharedFunctionalGroupsSequence[0]
    for group in changed.files[0].PerFrameFunctionalGroupsSequence:
        group.PixelMeasuresSequence = shared.PixelMeasuresSequence
        group.PlaneOrientationSequence = shared.PlaneOrientationSequence
    shared.PixelMeasuresSequence = Sequence([])
    del shared.PlaneOrientationSequence
    return planted(changed, rng, harmless(series))


@sound("a multi-frame object in two files", "enhanced")
def concatenated(series: Series, rng: np.random.Generator) -> Planted:
    cut = int(rng.integers(2, len(series) - 2))
    changed = series.changed()
    one, other = changed.files[0], series.changed().files[0]
    for dataset, part in ((one, slice(None, cut)), (other, slice(cut, None))):
        dataset.PerFrameFunctionalGroupsSequence = Sequence(list(dataset.PerFrameFunctionalGroupsSequence)[part])
        dataset.NumberOfFrames = len(dataset.PerFrameFunctionalGroupsSequence)
        dataset.PixelData = series.stored[part].tobytes()
    other.SOPInstanceUID += ".2"
    changed.files.append(other)
    return planted(changed, rng, harmless(series))


@sound("copies of some files", "ct", "mr", "pet", "timed", "enhanced")
def copies(series: Series, rng: np.random.Generator) -> Planted:
    drawn = rng.choice(len(series.files), size=min(3, len(series.files)), replace=False)
    more = {f"copy{index}": to_bytes(series.files[int(index)]) for index in drawn}
    return with_files(series, rng, more, harmless(series, duplicates=more))


@sound("copies of some files in another encoding")
def encoded_copies(series: Series, rng: np.random.Generator) -> Planted:
    drawn = rng.choice(len(series.files), size=2, replace=False)
    more = {f"copy{index}": to_bytes(packed(series.files[int(index)], RLE)) for index in drawn}
    return with_files(series, rng, more, harmless(series, duplicates=more))


@sound("files that are not DICOM among them")
def strange_files(series: Series, rng: np.random.Generator) -> Planted:
    more = {
        "README": b"see the viewer",
        "Thumbs.db": b"\xd0\xcf\x11\xe0" + bytes(600),
        "a.png": b"\x89PNG" + bytes(200),
    }
    return with_files(series, rng, more, harmless(series, skipped=more))


@sound("no preamble and no meta information")
def bare(series: Series, rng: np.random.Generator) -> Planted:
    files = {}
    for path, data in named(series, rng).items():
        files[path] = data[data.index(b"\x08\x00\x08\x00CS") :]
    return Planted(files, harmless(series))


@sound("padding after the last element")
def trailing(series: Series, rng: np.random.Generator) -> Planted:
    padding = struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, 40) + bytes(40)
    files = {path: data + (padding if rng.integers(2) else bytes(512)) for path, data in named(series, rng).items()}
    return Planted(files, harmless(series))


def _transcoded(data: bytes, syntax: str) -> bytes:
    dataset = dcmread(DicomBytesIO(data))
    pixels = np.frombuffer(dataset.PixelData, "<u2")
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = DicomBytesIO()
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = pixels.astype(">u2").tobytes()
    dcmwrite(
        stream,
        dataset,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=True,
    )
    return bytes(stream.getvalue())


def _deflated(data: bytes) -> bytes:
    start = data.index(b"\x08\x00\x08\x00CS")
    plain, deflating = b"1.2.840.10008.1.2.1\0", DEFLATED.encode()
    head = data[:start].replace(struct.pack("<H", len(plain)) + plain, struct.pack("<H", len(deflating)) + deflating)
    stream = zlib.compressobj(wbits=-15)
    return head + stream.compress(data[start:]) + stream.flush()
