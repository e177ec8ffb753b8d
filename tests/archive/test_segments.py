from __future__ import annotations

import numpy as np
import pytest
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from medpipe.archive.companions import companions_for, load_companions, references_of
from medpipe.archive.elements import parse
from medpipe.archive.pixels import decode, decode_each
from medpipe.types import Geometry

hd = pytest.importorskip("highdicom")

KINDS = ("BINARY", "FRACTIONAL", "LABELMAP")


@pytest.fixture
def slices(stack_of):
    """Return a stack of four slices with what highdicom asks of them."""
    return dressed(stack_of(4))


def dressed(stack):
    for dataset in stack:
        dataset.PatientName, dataset.PatientBirthDate, dataset.PatientSex = "", "", ""
        dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber, dataset.StudyID = "", "", "", ""
        dataset.ReferringPhysicianName = ""
    return stack


def truth():
    labels = np.zeros((4, 6, 8), np.uint8)
    labels[1:3, 2:5, 1:4], labels[2:4, 0:2, 5:8] = 1, 2
    return labels


def segmentation(
    sources, pixels, kind="BINARY", *, syntax=ExplicitVRLittleEndian, numbers=(1, 2), uid="1.2.55.1", **more
):
    """Return what highdicom writes."""
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"part {number}",
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=(codes.SCT.Liver, codes.SCT.Kidney)[number - 1],
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number in numbers
    ]
    return hd.seg.Segmentation(
        source_images=sources,
        pixel_array=pixels,
        segmentation_type=hd.seg.SegmentationTypeValues[kind],
        segment_descriptions=described,
        series_instance_uid="1.2.55",
        series_number=9,
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=syntax,
        **more,
    )


def volume_of(archive_of, slices):
    return archive_of(slices).assembly.stacks[0].geometry()


def drawn(bytes_of, read, made, geometry, **more):
    data = bytes_of(made)
    return load_companions([(read(data), data)], geometry, **more)


def masks(companions):
    return [region.mask.astype(int).tolist() for region in companions.regions]


def both(labels):
    return [(labels == number).astype(int).tolist() for number in (1, 2)]


@pytest.mark.parametrize("kind", KINDS)
def test_segments_written_by_highdicom_come_back_on_the_image_grid(slices, archive_of, kind):
    labels = truth()
    shown = np.stack([labels == 1, labels == 2], axis=-1) * 0.6 if kind == "FRACTIONAL" else labels
    archive = archive_of([*slices, segmentation(slices, shown, kind)])
    (host,) = (stack for stack in archive.assembly.stacks if stack.kind == "volume")
    found = companions_for(archive.assembly.stacks, list(archive.headers.values()))
    assert found[host.identity] == ("4",)
    companions = load_companions([(archive.headers["4"], archive.files["4"])], host.geometry())
    assert masks(companions) == both(labels)
    assert companions.original_names == {"roi_1": "part 1", "roi_2": "part 2"}
    assert [one.codes for one in companions.structures.values()] == [("SCT:10200004",), ("SCT:64033007",)]
    assert [one.number for one in companions.structures.values()] == [1, 2]
    assert not any(one.resampled for one in companions.structures.values())
    assert {region.threshold for region in companions.regions} == ({0.5} if kind == "FRACTIONAL" else {None})


# one bit is not run-length encoded
@pytest.mark.parametrize(
    ("kind", "syntax"),
    [*((kind, ExplicitVRLittleEndian) for kind in KINDS), ("FRACTIONAL", RLELossless), ("LABELMAP", RLELossless)],
)
def test_frames_come_one_by_one_as_they_do_all_at_once(slices, bytes_of, read, kind, syntax):
    labels = truth()
    shown = np.stack([labels == 1, labels == 2], axis=-1) * 0.6 if kind == "FRACTIONAL" else labels
    data = bytes_of(segmentation(slices, shown, kind, syntax=syntax))
    header = read(data)
    assert header.rows * header.columns % 8 == 0
    each = list(decode_each(header, parse(data)))
    assert np.array_equal(np.stack(each), decode(header, data))


def test_one_bit_frames_may_begin_within_a_byte(stack_of, bytes_of, read):
    odd = dressed(stack_of(3, Rows=5, Columns=7))
    for dataset in odd:
        dataset.PixelData = np.zeros((5, 7), np.uint16).tobytes()
    pixels = (np.random.default_rng(2).random((3, 5, 7)) < 0.4).astype(np.uint8)
    data = bytes_of(segmentation(odd, pixels, numbers=(1,)))
    header = read(data)
    order = np.argsort([plane.position[2] for plane in header.frames])
    assert np.array_equal(np.stack(list(decode_each(header, parse(data))))[order], pixels)
    assert np.array_equal(decode(header, data)[order], pixels)


def test_overlapping_segments_are_both_there(slices, archive_of, bytes_of, read):
    shown = np.zeros((4, 6, 8, 2), np.uint8)
    shown[1:3, 1:4, 1:4, 0], shown[1:4, 2:6, 2:7, 1] = 1, 1
    companions = drawn(bytes_of, read, segmentation(slices, shown), volume_of(archive_of, slices))
    assert masks(companions) == [shown[..., 0].tolist(), shown[..., 1].tolist()]


def test_slices_without_a_frame_are_empty_even_beside_thick_ones(slices, archive_of, bytes_of, read):
    labels = np.zeros((4, 6, 8), np.uint8)
    labels[1, 2:4, 2:4] = 1
    made = segmentation(slices, labels, numbers=(1,))
    assert made.NumberOfFrames == 1
    measures = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SliceThickness = 5.0
    if "SpacingBetweenSlices" in measures:
        del measures.SpacingBetweenSlices
    companions = drawn(bytes_of, read, made, volume_of(archive_of, slices))
    assert masks(companions) == [labels.tolist()]
    assert not companions.structures["roi_1"].resampled


def test_frames_may_come_in_any_order(slices, archive_of, bytes_of, read):
    labels = truth()
    made = segmentation(slices, labels)
    order = np.random.default_rng(3).permutation(made.NumberOfFrames)
    frames = made.pixel_array[order]
    groups = [made.PerFrameFunctionalGroupsSequence[int(place)] for place in order]
    made.PerFrameFunctionalGroupsSequence = groups
    made.PixelData = np.packbits(frames.ravel(), bitorder="little").tobytes()
    companions = drawn(bytes_of, read, made, volume_of(archive_of, slices))
    assert masks(companions) == both(labels)


def test_a_share_below_the_threshold_is_there_to_be_asked_for(slices, archive_of, bytes_of, read):
    shares = np.zeros((4, 6, 8))
    shares[1, 2, 2:6] = 0.2, 0.4, 0.5, 1.0
    made = segmentation(slices, shares, "FRACTIONAL", numbers=(1,), max_fractional_value=250)
    companions = drawn(bytes_of, read, made, volume_of(archive_of, slices))
    held = companions.structures["roi_1"].shares
    assert held.maximum == 250
    for threshold in (0.1, 0.4, 0.5, 0.9):
        expected = (shares >= threshold).tolist()
        assert held.at_least(threshold, (4, 6, 8)).whole().tolist() == expected
    assert companions.regions[0].mask.tolist() == (shares >= 0.5).tolist()


def test_shares_of_nothing_known_are_refused(slices, archive_of, bytes_of, read):
    made = segmentation(slices, (truth() == 1) * 0.6, "FRACTIONAL", numbers=(1,))
    del made.MaximumFractionalValue
    refused = drawn(bytes_of, read, made, volume_of(archive_of, slices))
    assert (refused.regions, refused.problems) == ((), ("E_COMPANION",))


def test_a_segmentation_on_another_grid_is_marked_and_sampled_at_the_nearest_voxel(stack_of, bytes_of, read):
    fine = Geometry(shape=(6, 12, 16), affine_lps=(0.375, 0, 0, -10, 0, 0.25, 0, -20, 0, 0, 1.25, 30.3, 0, 0, 0, 1))
    sources = dressed(stack_of(3))
    pixels = (np.random.default_rng(5).random((3, 6, 8)) < 0.5).astype(np.uint8)
    companions = drawn(bytes_of, read, segmentation(sources, pixels, numbers=(1,)), fine)
    assert companions.structures["roi_1"].resampled
    expected = np.zeros(fine.shape, bool)
    for place in np.ndindex(fine.shape):
        offset = np.array(place) * (1.25, 0.25, 0.375) + (0.3, 0, 0)
        frame, row, column = np.rint(offset / (2.5, 0.5, 0.75)).astype(int)
        expected[place] = row < 6 and column < 8 and frame < 3 and pixels[frame, row, column] > 0
    assert np.array_equal(companions.regions[0].mask, expected)


def test_a_part_of_the_grid_mirrored_is_the_grid_itself(slices, archive_of, bytes_of, read):
    labels = truth()
    made = segmentation(slices, labels)
    shared = made.SharedFunctionalGroupsSequence[0]
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    assert list(orientation) == [1, 0, 0, 0, 1, 0]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    for group in made.PerFrameFunctionalGroupsSequence:
        group.PlanePositionSequence[0].ImagePositionPatient[0] = -10 + 7 * 0.75
    made.PixelData = np.packbits(made.pixel_array[:, :, ::-1].ravel(), bitorder="little").tobytes()
    companions = drawn(bytes_of, read, made, volume_of(archive_of, slices))
    assert masks(companions) == both(labels)
    assert not any(one.resampled for one in companions.structures.values())


def test_frames_between_slices_are_told(slices, archive_of, bytes_of, read):
    made = segmentation(slices, truth())
    geometry = volume_of(archive_of, slices)
    matrix = np.array(geometry.affine_lps).reshape(4, 4)
    matrix[:3, 2] *= 2
    every_other = Geometry(shape=(2, 6, 8), affine_lps=tuple(matrix.reshape(-1)))
    companions = drawn(bytes_of, read, made, every_other)
    # the second segment has nothing between the slices
    assert [one.resampled for one in companions.structures.values()] == [True, False]


def test_a_segmentation_of_another_frame_of_reference_is_refused(slices, archive_of, bytes_of, read):
    made, geometry = segmentation(slices, truth()), volume_of(archive_of, slices)
    own = slices[0].FrameOfReferenceUID
    assert drawn(bytes_of, read, made, geometry, frame_of_reference_uid=own).problems == ()
    refused = drawn(bytes_of, read, made, geometry, frame_of_reference_uid="1.2.3")
    assert (refused.regions, refused.problems) == ((), ("E_FRAME",))


def test_a_segmentation_beyond_the_image_is_refused(slices, archive_of, bytes_of, read):
    matrix = np.array(volume_of(archive_of, slices).affine_lps).reshape(4, 4)
    matrix[2, 3] += 500
    far = Geometry(shape=(4, 6, 8), affine_lps=tuple(matrix.reshape(-1)))
    assert drawn(bytes_of, read, segmentation(slices, truth()), far).problems == ("E_GRID",)


def test_the_newest_of_several_objects_is_known_by_its_own_time(slices, archive_of, bytes_of, read):
    old, new = segmentation(slices, truth(), uid="1.2.55.9"), segmentation(slices, truth(), uid="1.2.55.1")
    old.ContentDate, old.ContentTime = "20200101", "235959"
    new.ContentDate, new.ContentTime = "20200102", "000001.5"
    objects = [(read(data), data) for data in map(bytes_of, (new, old))]
    companions = load_companions(objects, volume_of(archive_of, slices))
    assert [one.is_newest for one in companions.structures.values()] == [True, True, False, False]
    assert [region.label for region in companions.regions] == [1, 2, 3, 4]


def test_an_object_on_several_series_goes_with_each(stack_of, archive_of):
    one, other = dressed(stack_of(4)), dressed(stack_of(4, SeriesInstanceUID="1.2.77", SeriesNumber=2))
    for k, dataset in enumerate(other):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.77.{k}"
    made = segmentation(one, truth())
    reference = type(made.ReferencedSeriesSequence[0])()
    reference.SeriesInstanceUID = "1.2.77"
    made.ReferencedSeriesSequence.append(reference)
    archive = archive_of([*one, *other, made])
    found = companions_for(archive.assembly.stacks, list(archive.headers.values()))
    assert sorted(found.values()) == [("8",), ("8",)]


def test_the_scan_keeps_names_codes_and_what_reading_takes(slices, archive_of):
    archive = archive_of([*slices, segmentation(slices, truth())])
    header = archive.headers["4"]
    named = [(one.number, one.name, one.codes) for one in header.structures]
    assert named == [(1, "part 1", ("SCT:10200004",)), (2, "part 2", ("SCT:64033007",))]
    assert type(header).from_line(header.to_line()) == header
    assert archive.headers["0"].structures == ()
    (reference,) = references_of(archive.assembly.stacks, list(archive.headers.values()))
    assert reference.reading_bytes > header.size
