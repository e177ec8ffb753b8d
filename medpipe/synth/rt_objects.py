"""The nodule's outline as an RT Structure Set: closed planar contours on the CT's slices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, RTStructureSetStorage

from medpipe.synth.layout import StudyFolder
from medpipe.synth.nodule import Nodule, depth_mm
from medpipe.synth.objects import Series, Written, dicom_date, dicom_time, series_dataset, write_object
from medpipe.synth.shapes import Grid
from medpipe.synth.truth import ROI_NAME

_STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management (retired): what RT objects still name a study by."""


def contours_lps(nodule: Nodule, grid: Grid) -> list[tuple[int, npt.NDArray[np.float64]]]:
    """Return the outlines of the nodule, slice by slice.

    Returns
    -------
    list of (int, array of float64, shape (n, 3))
        Slice index and closed polygon in LPS mm. Exactly the voxel centres of the nodule's mask
        lie inside: each vertex is on the line between two centres, where the depth below the
        surface, taken as linear, is zero.
    """
    from skimage.measure import find_contours

    box, depth = depth_mm(nodule, grid)
    found = []
    for offset, plane in enumerate(depth):
        index = box[0].start + offset
        for line in find_contours(plane, 0.0):  # type: ignore[no-untyped-call]  # scikit-image has no annotations
            x = grid.origin_lps[0] + (line[:-1, 1] + box[2].start) * grid.spacing_mm[2]
            y = grid.origin_lps[1] + (line[:-1, 0] + box[1].start) * grid.spacing_mm[1]
            z = np.full(len(x), grid.position_lps(index)[2])
            found.append((index, np.stack([x, y, z], axis=1)))
    return found


def write_rtstruct(series: Series, nodule: Nodule, grid: Grid, folder: StudyFolder, source: Series) -> Written:
    """Write a structure set with the nodule as its one region, drawn on ``source``."""
    ds = series_dataset(series, RTStructureSetStorage)
    ds.SOPInstanceUID = series.instance_uid(0)
    ds.InstanceNumber = 1
    ds.StructureSetLabel = "NODULE"
    ds.StructureSetDate, ds.StructureSetTime = dicom_date(series.began), dicom_time(series.began)
    ds.ApprovalStatus = "UNAPPROVED"
    frame_uid = series.visit.uid("frame of reference", "chest")
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = frame_uid, ""
    ds.ReferencedFrameOfReferenceSequence = Sequence([_referenced_frame(series, source, grid, frame_uid)])
    roi, contours, observation = Dataset(), Dataset(), Dataset()
    roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = 1, ROI_NAME, "MANUAL"
    roi.ReferencedFrameOfReferenceUID = frame_uid
    ds.StructureSetROISequence = Sequence([roi])
    contours.ReferencedROINumber, contours.ROIDisplayColor = 1, [255, 0, 0]
    contours.ContourSequence = Sequence(
        [_contour(source, index, points) for index, points in contours_lps(nodule, grid)]
    )
    ds.ROIContourSequence = Sequence([contours])
    observation.ObservationNumber, observation.ReferencedROINumber = 1, 1
    observation.RTROIInterpretedType, observation.ROIInterpreter = "GTV", ""
    ds.RTROIObservationsSequence = Sequence([observation])
    path = write_object(ds, folder.next_path(series.number), folder.archive)
    return Written(files=(path,))


def _contour(source: Series, index: int, points: npt.NDArray[np.float64]) -> Dataset:
    item = Dataset()
    item.ContourImageSequence = Sequence([_image(source, index)])
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{value:.4f}" for value in points.ravel()]
    return item


def _image(source: Series, index: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = CTImageStorage
    item.ReferencedSOPInstanceUID = source.instance_uid(index)
    return item


def _referenced_frame(series: Series, source: Series, grid: Grid, frame_uid: str) -> Dataset:
    images, study, frame = Dataset(), Dataset(), Dataset()
    images.SeriesInstanceUID = source.uid
    images.ContourImageSequence = Sequence([_image(source, index) for index in range(grid.shape[0])])
    study.ReferencedSOPClassUID = _STUDY_COMPONENT
    study.ReferencedSOPInstanceUID = series.visit.uid("study")
    study.RTReferencedSeriesSequence = Sequence([images])
    frame.FrameOfReferenceUID = frame_uid
    frame.RTReferencedStudySequence = Sequence([study])
    return frame
