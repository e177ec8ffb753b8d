from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from medpipe.archive.companions import companions_for, load_companions
from medpipe.archive.rtstruct import fill_polygon
from medpipe.errors import Rejected
from medpipe.types import Geometry

GEOMETRY = Geometry(
    shape=(5, 40, 48),
    spacing_mm=(3.0, 1.0, 1.0),
    affine_lps=(1, 0, 0, -20, 0, 1, 0, -18, 0, 0, 3, 100, 0, 0, 0, 1),
)


def structure_set(slice_of, contours, *, kind="CLOSED_PLANAR", name="Lesion A", series="1.2.3"):
    dataset = slice_of(np.zeros((2, 2), np.uint16), SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3", Modality="RTSTRUCT")
    del dataset.PixelData, dataset.Rows, dataset.Columns
    roi, item = Dataset(), Dataset()
    roi.ROINumber, roi.ROIName = 4, name
    item.ReferencedROINumber = 4
    item.ContourSequence = []
    for points in contours:
        contour = Dataset()
        contour.ContourGeometricType = kind
        contour.NumberOfContourPoints = len(points)
        contour.ContourData = [f"{value:.6f}" for point in points for value in point]
        item.ContourSequence.append(contour)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [roi], [item]
    frame, study, referenced = Dataset(), Dataset(), Dataset()
    referenced.SeriesInstanceUID = series
    study.RTReferencedSeriesSequence = [referenced]
    frame.FrameOfReferenceUID = dataset.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    return dataset


def circle(radius_mm, z_mm, n=400, centre=(0.3, 0.2)):
    angles = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return [(centre[0] + radius_mm * np.cos(a), centre[1] + radius_mm * np.sin(a), z_mm) for a in angles]


def regions_of(bytes_of, read, dataset, geometry=GEOMETRY):
    data = bytes_of(dataset)
    return load_companions([(read(data), data)], geometry)


def test_an_aligned_square_takes_left_and_upper_edges_only():
    corners = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 3.0], [1.0, 3.0]])
    expected = np.zeros((5, 6), bool)
    expected[1:3, 1:4] = True
    assert np.array_equal(fill_polygon(corners, (5, 6)), expected)
    assert np.array_equal(fill_polygon(corners[::-1], (5, 6)), expected)


def test_adjoining_polygons_share_no_pixel_and_leave_none_out():
    left = np.array([[0.0, 0.0], [7.3, 0.0], [4.1, 9.0], [0.0, 9.0]])
    right = np.array([[7.3, 0.0], [12.0, 0.0], [12.0, 9.0], [4.1, 9.0]])
    both = np.array([[0.0, 0.0], [12.0, 0.0], [12.0, 9.0], [0.0, 9.0]])
    one, other = fill_polygon(left, (10, 13)), fill_polygon(right, (10, 13))
    assert not (one & other).any()
    assert np.array_equal(one | other, fill_polygon(both, (10, 13)))


def test_fill_equals_scikit_image():
    from skimage.measure import points_in_poly

    rng = np.random.default_rng(8)
    corners = rng.uniform(0, 20, (9, 2))
    grid = np.array([(i, j) for j in range(20) for i in range(20)], float)
    inside = points_in_poly(grid, corners).reshape(20, 20)
    assert np.array_equal(fill_polygon(corners, (20, 20)), inside)


def test_a_circle_has_its_area_on_its_slice(slice_of, bytes_of, read):
    found = regions_of(bytes_of, read, structure_set(slice_of, [circle(17.3, 106.2)]))
    (region,) = found.regions
    assert region.mask.any(axis=(1, 2)).tolist() == [False, False, True, False, False]
    assert region.mask.sum() == pytest.approx(np.pi * 17.3**2, rel=0.005)
    assert (region.name, region.label, region.source) == ("roi_1", 1, "rtstruct")
    assert found.original_names == {"roi_1": "Lesion A"}


def test_a_contour_within_a_contour_is_a_hole(slice_of, bytes_of, read):
    (ring,) = regions_of(bytes_of, read, structure_set(slice_of, [circle(15, 103), circle(6, 103)])).regions
    assert ring.mask.sum() == pytest.approx(np.pi * (15**2 - 6**2), rel=0.02)


def test_contours_across_slices_are_refused(slice_of, bytes_of, read):
    slanted = [(x, y, 103 + 0.3 * x) for x, y, _ in circle(10, 103)]
    found = regions_of(bytes_of, read, structure_set(slice_of, [slanted]))
    assert (found.regions, found.problems) == ((), ("E_CONTOUR",))


def test_contours_that_all_lie_beyond_the_image_are_refused(slice_of, bytes_of, read):
    found = regions_of(bytes_of, read, structure_set(slice_of, [circle(10, 300)]))
    assert (found.regions, found.problems) == ((), ("E_CONTOUR",))


def test_open_contours_make_no_region(slice_of, bytes_of, read):
    assert not regions_of(bytes_of, read, structure_set(slice_of, [circle(10, 103)], kind="OPEN_PLANAR")).regions


def test_an_image_without_a_place_takes_no_companion(slice_of, bytes_of, read):
    with pytest.raises(Rejected, match="E_GRID"):
        regions_of(bytes_of, read, structure_set(slice_of, [circle(10, 103)]), Geometry(shape=(1, 4, 4)))


def test_a_structure_set_goes_with_the_series_it_names(stack_of, slice_of, archive_of):
    named, other = stack_of(3), stack_of(3, SeriesInstanceUID="1.2.77", SeriesNumber=2)
    for k, dataset in enumerate(other):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.77.{k}"
    structure = structure_set(slice_of, [circle(2, 30)], series=named[0].SeriesInstanceUID)
    archive = archive_of([*named, *other, structure])
    assert archive.assembly.outcomes["6"] == ("catalogued", "")
    found = companions_for(archive.assembly.stacks, list(archive.headers.values()))
    (host,) = (stack for stack in archive.assembly.stacks if stack.series_uid == named[0].SeriesInstanceUID)
    assert found == {host.identity: ("6",)}


def test_a_structure_set_that_names_no_series_goes_by_frame_of_reference(stack_of, slice_of, archive_of):
    archive = archive_of([*stack_of(3), structure_set(slice_of, [circle(2, 30)], series="1.9.9")])
    found = companions_for(archive.assembly.stacks, list(archive.headers.values()))
    assert list(found.values()) == [("3",)]


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_segments_written_by_highdicom_come_back_on_the_image_grid(stack_of, archive_of, bytes_of, read, kind):
    hd = pytest.importorskip("highdicom")
    from pydicom.sr.codedict import codes
    from pydicom.uid import ExplicitVRLittleEndian

    slices = stack_of(4)
    for dataset in slices:
        dataset.PatientName, dataset.PatientBirthDate, dataset.PatientSex = "", "", ""
        dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber, dataset.StudyID = "", "", "", ""
        dataset.ReferringPhysicianName = ""
    truth = np.zeros((4, 6, 8), np.uint8)
    truth[1:3, 2:5, 1:4], truth[2:4, 0:2, 5:8] = 1, 2
    segments = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"part {number}",
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=codes.SCT.Tissue,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number in (1, 2)
    ]
    shown = np.stack([truth == 1, truth == 2], axis=-1) * 0.6 if kind == "FRACTIONAL" else truth
    made = hd.seg.Segmentation(
        source_images=slices,
        pixel_array=shown,
        segmentation_type=hd.seg.SegmentationTypeValues[kind],
        segment_descriptions=segments,
        series_instance_uid="1.2.55",
        series_number=9,
        sop_instance_uid="1.2.55.1",
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    archive = archive_of([*slices, made])
    (host,) = (stack for stack in archive.assembly.stacks if stack.kind == "volume")
    found = companions_for(archive.assembly.stacks, list(archive.headers.values()))
    assert found[host.identity] == ("4",)
    companions = load_companions([(archive.headers["4"], archive.files["4"])], host.geometry())
    assert [region.mask.tolist() for region in companions.regions] == [(truth == 1).tolist(), (truth == 2).tolist()]
    assert companions.original_names == {"roi_1": "part 1", "roi_2": "part 2"}


@pytest.mark.parametrize("most", [1, 100, 1 << 22])
def test_a_contour_is_filled_in_parts_as_at_once(monkeypatch, most):
    monkeypatch.setattr("medpipe.archive.rtstruct._MOST_CROSSINGS", most)
    rng = np.random.default_rng(4)
    square = np.array([[1.0, 1.0], [5.0, 1.0], [5.0, 4.0], [1.0, 4.0]])
    filled = fill_polygon(square, (8, 9))
    assert np.argwhere(filled).min(axis=0).tolist() == [1, 1]
    assert np.argwhere(filled).max(axis=0).tolist() == [3, 4]
    corners = rng.uniform(-2, 12, (301, 2))
    found = fill_polygon(corners, (10, 11))
    monkeypatch.setattr("medpipe.archive.rtstruct._MOST_CROSSINGS", 1 << 22)
    assert np.array_equal(found, fill_polygon(corners, (10, 11)))
