from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from medpipe.archive.companions import companions_for, load_companions
from medpipe.archive.elements import decimals, numbers
from medpipe.archive.polygons import fill_polygon
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


def structures(slice_of, drawn):
    """Return a structure set with a structure for each name, of these contours."""
    dataset = structure_set(slice_of, [])
    rois, items = [], []
    for number, (name, contours) in enumerate(drawn.items(), start=1):
        one = structure_set(slice_of, contours, name=name)
        (roi,), (item,) = one.StructureSetROISequence, one.ROIContourSequence
        roi.ROINumber = item.ReferencedROINumber = number
        rois.append(roi)
        items.append(item)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = rois, items
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


def told(companions):
    return [(region.name, region.code, region.bits.n_voxels > 0) for region in companions.regions], companions.problems


def test_a_structure_across_slices_is_refused_and_costs_no_other(slice_of, bytes_of, read):
    slanted = [(x, y, 103 + 0.3 * x) for x, y, _ in circle(10, 103)]
    sets = structures(slice_of, {"slanted": [slanted], "flat": [circle(10, 103)]})
    assert told(regions_of(bytes_of, read, sets)) == ([("roi_1", "E_CONTOUR", False), ("roi_2", "", True)], ())


def test_a_contour_between_slices_too_far_apart_is_refused(slice_of, bytes_of, read):
    gap = Geometry(
        shape=(3, 40, 48),
        spacing_mm=(3.0, 1.0, 1.0),
        affine_lps=(1, 0, 0, -20, 0, 1, 0, -18, 0, 0, 7.5, 100, 0, 0, 0, 1),
        slice_positions_mm=(100.0, 103.0, 115.0),
    )
    found = regions_of(bytes_of, read, structure_set(slice_of, [circle(10, 109)]), gap)
    assert told(found) == ([("roi_1", "E_CONTOUR", False)], ())


def test_contours_that_all_lie_beyond_the_image_are_told(slice_of, bytes_of, read):
    alone = regions_of(bytes_of, read, structure_set(slice_of, [circle(10, 300)]))
    assert told(alone) == ([("roi_1", "W_OUTSIDE", False)], ("E_CONTOUR",))
    beside = circle(5, 103, centre=(500, 500))
    both = regions_of(bytes_of, read, structures(slice_of, {"far": [beside], "near": [circle(10, 103)]}))
    assert told(both) == ([("roi_1", "W_OUTSIDE", False), ("roi_2", "", True)], ())


@pytest.mark.parametrize(("kind", "contours"), [("OPEN_PLANAR", [circle(10, 103)]), ("POINT", [[(1.0, 2.0, 103.0)]])])
def test_points_and_open_contours_enclose_nothing(slice_of, bytes_of, read, kind, contours):
    found = regions_of(bytes_of, read, structure_set(slice_of, contours, kind=kind))
    assert told(found) == ([("roi_1", "S_NO_AREA", False)], ())


def test_a_structure_without_contours_is_told_after_those_that_have_some(slice_of, bytes_of, read):
    dataset = structures(slice_of, {"empty": [], "drawn": [circle(10, 103)]})
    unlisted = Dataset()
    unlisted.ROINumber, unlisted.ROIName = 9, "named only"
    dataset.StructureSetROISequence.append(unlisted)
    found = regions_of(bytes_of, read, dataset)
    assert told(found)[0] == [("roi_1", "", True), ("roi_2", "EMPTY_ROI", False), ("roi_3", "EMPTY_ROI", False)]
    assert list(found.original_names.values()) == ["drawn", "empty", "named only"]


def test_two_points_are_no_polygon(slice_of, bytes_of, read):
    found = regions_of(bytes_of, read, structure_set(slice_of, [[(0.0, 0.0, 103.0), (4.0, 0.0, 103.0)]]))
    assert told(found) == ([("roi_1", "E_CONTOUR", False)], ())


def test_a_structure_of_another_frame_of_reference_is_not_drawn(slice_of, bytes_of, read):
    dataset = structures(slice_of, {"own": [circle(10, 103)], "other": [circle(10, 103)]})
    own, other = dataset.StructureSetROISequence
    own.ReferencedFrameOfReferenceUID, other.ReferencedFrameOfReferenceUID = "1.2.3.4", "1.2.3.5"
    data = bytes_of(dataset)
    found = load_companions([(read(data), data)], GEOMETRY, frame_of_reference_uid="1.2.3.4")
    assert told(found)[0] == [("roi_1", "", True), ("roi_2", "E_FRAME", False)]
    assert told(load_companions([(read(data), data)], GEOMETRY))[0] == [("roi_1", "", True), ("roi_2", "", True)]


def test_contours_of_planes_between_slices_do_not_cancel_each_other(slice_of, bytes_of, read):
    planes = [circle(10 + step, 100 + step) for step in (2, 3, 4)]
    found = regions_of(bytes_of, read, structure_set(slice_of, planes))
    (nearest,) = regions_of(bytes_of, read, structure_set(slice_of, planes[1:2])).regions
    assert found.regions[0].bits == nearest.bits
    assert found.structures["roi_1"].resampled
    alike = structure_set(slice_of, [circle(15, 103), circle(6, 103.05)])
    ring = regions_of(bytes_of, read, alike)
    assert ring.regions[0].bits.n_voxels == pytest.approx(np.pi * (15**2 - 6**2), rel=0.02)
    assert not ring.structures["roi_1"].resampled


def test_a_keyhole_is_a_hole(slice_of, bytes_of, read):
    outer, inner = circle(15, 103, n=200), circle(6, 103, n=200)
    keyhole = [*outer, outer[0], *inner[::-1], inner[-1], outer[0]]
    (found,) = regions_of(bytes_of, read, structure_set(slice_of, [keyhole])).regions
    (expected,) = regions_of(bytes_of, read, structure_set(slice_of, [outer, inner])).regions
    assert (found.mask ^ expected.mask).sum() == 0


TILT = np.deg2rad(20.0)
PLACES = {
    "sagittal": [[0, 0, -3, 40], [0.8, 0, 0, -20], [0, -0.9, 0, 30]],
    "oblique": [
        [0.8 * np.cos(0.4), -0.9 * np.sin(0.4), 0, -30],
        [0.8 * np.sin(0.4), 0.9 * np.cos(0.4), 0, 10],
        [0, 0, 2.5, 5],
    ],
    "tilted": [[0.8, 0, 0, -16], [0, 0.9 * np.cos(TILT), 0, -18], [0, -0.9 * np.sin(TILT), 3, 50]],
}


def by_hand(corners, grid):
    """Return whether points lie in a polygon, edge by edge."""
    x, y = grid[..., 0], grid[..., 1]
    inside = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            inside ^= ((y0 <= y) != (y1 <= y)) & (x >= x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return inside


@pytest.mark.parametrize("place", sorted(PLACES))
def test_contours_on_planes_of_any_direction_are_filled_as_by_hand(slice_of, bytes_of, read, place):
    matrix = np.array(PLACES[place])
    shape = (6, 41, 45)
    geometry = Geometry(shape=shape, affine_lps=(*matrix.reshape(-1).tolist(), 0, 0, 0, 1))
    rng = np.random.default_rng(len(place))
    expected, contours = np.zeros(shape, bool), []
    pixels = np.stack(np.meshgrid(np.arange(shape[2]), np.arange(shape[1])), axis=-1).astype(float)
    for index in (1, 2, 2, 4):
        corners = np.array([21.3, 19.7]) + rng.uniform(-19, 19, (9, 2))
        expected[index] ^= by_hand(corners, pixels)
        voxels = np.column_stack([corners, np.full(len(corners), index), np.ones(len(corners))])
        contours.append((voxels @ matrix.T).tolist())
    (found,) = regions_of(bytes_of, read, structure_set(slice_of, contours), geometry).regions
    assert expected.sum() > 500
    assert (found.mask ^ expected).sum() <= 1


@pytest.mark.parametrize("text", ["1.5\\ 2 \\-3e2", "1\\nan\\2", "1\\\\2", "x", "", "7"])
def test_decimals_are_the_numbers_without_keeping_them(text):
    def contour():
        held = Dataset()
        raw = RawDataElement(Tag(0x30060050), "DS", len(text), text.encode(), 0, False, True)
        held[0x30060050] = raw
        return held

    assert decimals(contour(), "ContourData") == numbers(contour(), "ContourData", may_be_long=True)
    assert decimals(Dataset(), "ContourData") == ()


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


@pytest.mark.parametrize("most", [1, 100, 1 << 22])
def test_a_contour_is_filled_in_parts_as_at_once(monkeypatch, most):
    monkeypatch.setattr("medpipe.archive.polygons._MOST_CROSSINGS", most)
    rng = np.random.default_rng(4)
    square = np.array([[1.0, 1.0], [5.0, 1.0], [5.0, 4.0], [1.0, 4.0]])
    filled = fill_polygon(square, (8, 9))
    assert np.argwhere(filled).min(axis=0).tolist() == [1, 1]
    assert np.argwhere(filled).max(axis=0).tolist() == [3, 4]
    corners = rng.uniform(-2, 12, (301, 2))
    found = fill_polygon(corners, (10, 11))
    monkeypatch.setattr("medpipe.archive.polygons._MOST_CROSSINGS", 1 << 22)
    assert np.array_equal(found, fill_polygon(corners, (10, 11)))
