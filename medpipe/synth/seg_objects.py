"""The nodule's outline as a DICOM Segmentation: one bit per voxel, packed."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, SegmentationStorage

from medpipe.synth.layout import StudyFolder
from medpipe.synth.objects import (
    Series,
    Written,
    code,
    decimals,
    frame_of_reference,
    image_plane,
    series_dataset,
    write_object,
)
from medpipe.synth.shapes import Bools, Grid
from medpipe.synth.truth import ROI_NAME

_SEGMENT_IDENTIFICATION = Tag(0x0062, 0x000A)
_SEGMENT_NUMBER = Tag(0x0062, 0x000B)
_PLANE_POSITION = Tag(0x0020, 0x9113)
_POSITION = Tag(0x0020, 0x0032)


def write_seg(series: Series, mask: Bools, grid: Grid, folder: StudyFolder, source: Series) -> Written:
    """Write a BINARY segmentation of one segment; slices without a voxel have no frame.

    Parameters
    ----------
    series : Series
    mask : array of bool, (z, y, x)
        On the grid of ``source``.
    grid : Grid
    folder : StudyFolder
    source : Series
        The CT series the mask was drawn on.
    """
    places = np.flatnonzero(mask.any(axis=(1, 2))).tolist()
    ds = series_dataset(series, SegmentationStorage)
    frame_of_reference(ds, series.visit.uid("frame of reference", "chest"))
    ds.SOPInstanceUID = series.instance_uid(0)
    ds.InstanceNumber = 1
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.SegmentationType = "BINARY"
    ds.ContentLabel, ds.ContentDescription, ds.ContentCreatorName = "NODULE", "", ""
    ds.LossyImageCompression = "00"
    ds.SegmentsOverlap = "NO"
    ds.SegmentSequence = Sequence([_segment()])
    ds.ReferencedSeriesSequence = Sequence([_referenced_series(source, places)])
    _dimensions(ds, series)
    ds.SharedFunctionalGroupsSequence = Sequence([_shared_groups(grid)])
    ds.PerFrameFunctionalGroupsSequence = Sequence(
        [_frame_groups(grid, source, index, number) for number, index in enumerate(places, start=1)]
    )
    _bits(ds, mask[places])
    path = write_object(ds, folder.next_path(series.number), folder.archive)
    return Written(files=(path,))


def _bits(ds: Dataset, frames: Bools) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.NumberOfFrames, ds.Rows, ds.Columns = frames.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 1, 1, 0, 0
    packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
    ds.PixelData = packed + b"\0" * (len(packed) % 2)
    ds["PixelData"].VR = "OB"


def _segment() -> Dataset:
    item = Dataset()
    item.SegmentNumber = 1
    item.SegmentLabel = ROI_NAME
    item.SegmentAlgorithmType = "MANUAL"
    item.SegmentedPropertyCategoryCodeSequence = Sequence(
        [code("49755003", "SCT", "Morphologically Abnormal Structure")]
    )
    item.SegmentedPropertyTypeCodeSequence = Sequence([code("27925004", "SCT", "Nodule")])
    return item


def _referenced_series(source: Series, places: list[int]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = source.uid
    item.ReferencedInstanceSequence = Sequence([_reference(source, index) for index in places])
    return item


def _reference(source: Series, index: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = CTImageStorage
    item.ReferencedSOPInstanceUID = source.instance_uid(index)
    return item


def _dimensions(ds: Dataset, series: Series) -> None:
    organization = Dataset()
    organization.DimensionOrganizationUID = series.visit.uid("dimensions")
    ds.DimensionOrganizationSequence = Sequence([organization])
    pairs = ((_SEGMENT_NUMBER, _SEGMENT_IDENTIFICATION), (_POSITION, _PLANE_POSITION))
    items = []
    for pointer, group in pairs:
        item = Dataset()
        item.DimensionIndexPointer, item.FunctionalGroupPointer = pointer, group
        item.DimensionOrganizationUID = organization.DimensionOrganizationUID
        items.append(item)
    ds.DimensionIndexSequence = Sequence(items)


def _shared_groups(grid: Grid) -> Dataset:
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    plane = Dataset()
    image_plane(plane, grid, thickness_mm=grid.spacing_mm[0])
    measures.PixelSpacing, measures.SliceThickness = plane.PixelSpacing, plane.SliceThickness
    measures.SpacingBetweenSlices = decimals(grid.spacing_mm)[0]
    orientation.ImageOrientationPatient = plane.ImageOrientationPatient
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([orientation])
    return shared


def _frame_groups(grid: Grid, source: Series, index: int, number: int) -> Dataset:
    frame, position, segment, groups = Dataset(), Dataset(), Dataset(), Dataset()
    frame.DimensionIndexValues = [1, number]
    position.ImagePositionPatient = decimals(grid.position_lps(index))
    segment.ReferencedSegmentNumber = 1
    groups.FrameContentSequence = Sequence([frame])
    groups.PlanePositionSequence = Sequence([position])
    groups.SegmentIdentificationSequence = Sequence([segment])
    groups.DerivationImageSequence = Sequence([_derivation(source, index)])
    return groups


def _derivation(source: Series, index: int) -> Dataset:
    image = _reference(source, index)
    image.PurposeOfReferenceCodeSequence = Sequence(
        [code("121322", "DCM", "Source image for image processing operation")]
    )
    item = Dataset()
    item.SourceImageSequence = Sequence([image])
    item.DerivationCodeSequence = Sequence([code("113076", "DCM", "Segmentation")])
    return item
