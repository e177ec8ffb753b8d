"""Which elements a header is made of, and how each is wanted.

Whoever reads another element of a data set adds it here; until then every file that is asked for
it is left to pydicom.
"""

from __future__ import annotations

from typing import Final

from pydicom.datadict import DicomDictionary, dictionary_VR, tag_for_keyword

from medpipe.archive.facts import NUMBERS, TEXTS
from medpipe.kernels import dicom_walk as walk

Tag = str | tuple[int, int]

OWN: Final = ("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient", "AcquisitionTime")
"""Elements whose values differ among the slices of a series."""

SELDOM: Final = (
    "AcquisitionNumber",
    "RescaleSlope",
    "RescaleIntercept",
    "EchoTime",
    "TriggerTime",
    "FrameReferenceTime",
    "TemporalPositionIdentifier",
    "AcquisitionDate",
    "SeriesTime",
)
"""Elements whose values differ in some series; the others hardly do in any."""

VARYING: Final = (*OWN, *SELDOM)
"""Both, in the order of their places."""

_LEAVES: Final = tuple(
    "SpecificCharacterSet SOPClassUID StudyInstanceUID SeriesInstanceUID PatientID FrameOfReferenceUID Modality "  # noqa: SIM905
    "Rows Columns SamplesPerPixel BitsAllocated BitsStored HighBit PixelRepresentation PhotometricInterpretation "
    "NumberOfFrames LossyImageCompression Units RescaleType NumberOfSlices ImageOrientationPatient PixelSpacing "
    "SliceThickness SpacingBetweenSlices ImageType RepetitionTime InversionTime FlipAngle GridFrameOffsetVector "
    "ImagerPixelSpacing EstimatedRadiographicMagnificationFactor NominalScannedPixelSpacing PhysicalDeltaX "
    "PhysicalDeltaY PhysicalUnitsXDirection PhysicalUnitsYDirection FloatPixelPaddingValue "
    "FloatPixelPaddingRangeLimit DoubleFloatPixelPaddingValue DoubleFloatPixelPaddingRangeLimit PixelPaddingValue "
    "PixelPaddingRangeLimit ReferencedSOPInstanceUID EffectiveEchoTime FrameType ComplexImageComponent StackID "
    "TemporalPositionIndex SUVType SeriesType RadionuclideTotalDose RadionuclideHalfLife "
    "RadiopharmaceuticalStartDateTime RadiopharmaceuticalStartTime ActualFrameDuration "
    "DecayCorrectionDateTime DecayCorrected AttenuationCorrected "
    "CodeValue CodeMeaning FrameAcquisitionDuration FrameAcquisitionDateTime FrameReferenceDateTime "
    "RealWorldValueSlope RealWorldValueIntercept TimezoneOffsetFromUTC ReferencedROINumber ROINumber ROIName "
    "ReferencedFrameOfReferenceUID SegmentNumber SegmentLabel CodingSchemeDesignator StructureSetDate "
    "StructureSetTime DoseGridScaling".split()
)
_SEQUENCES: Final = tuple(
    "PixelValueTransformationSequence RealWorldValueMappingSequence SharedFunctionalGroupsSequence "  # noqa: SIM905
    "PerFrameFunctionalGroupsSequence FrameContentSequence PixelMeasuresSequence PlanePositionSequence "
    "PlaneOrientationSequence MRTimingAndRelatedParametersSequence MRImageFrameTypeSequence "
    "CTImageFrameTypeSequence MREchoSequence SequenceOfUltrasoundRegions ReferencedSeriesSequence "
    "ReferencedInstanceSequence ReferencedFrameOfReferenceSequence RTReferencedStudySequence "
    "RTReferencedSeriesSequence ContourImageSequence RadiopharmaceuticalInformationSequence "
    "RadionuclideCodeSequence MeasurementUnitsCodeSequence RTROIObservationsSequence RTROIIdentificationCodeSequence "
    "StructureSetROISequence SegmentSequence SegmentedPropertyTypeCodeSequence CTReconstructionSequence".split()
)
_ELSEWHERE: Final = tuple(
    "AcquisitionDateTime ContentDate ContentTime InstanceCreationDate InstanceCreationTime".split()  # noqa: SIM905
)
"""What differs from slice to slice and counts for such PET, segmentations and structure sets alone as have no pattern."""

_PRIVATE: Final = {
    (0x0019, 0x100A): walk.LEAF,
    (0x0029, 0x1010): walk.BULK,
    (0x0043, 0x102F): walk.LEAF,
    (0x0051, 0x100B): walk.LEAF,
    (0x0065, 0x1004): walk.LEAF,
    (0x0065, 0x1050): walk.LEAF,
    (0x0065, 0x1051): walk.SEQUENCE,
}
"""What :mod:`medpipe.archive.vendor` and frames read; the creators below say of what type an element is."""

_CREATORS: Final = dict.fromkeys(((group, 0x0010) for group in (0x0019, 0x0029, 0x0043, 0x0051, 0x0065)), walk.LEAF)


def _roles() -> dict[Tag, int]:
    found: dict[Tag, int] = dict.fromkeys((*_LEAVES, *TEXTS.values(), *NUMBERS.values()), walk.LEAF)
    found |= dict.fromkeys(_ELSEWHERE, walk.BULK)
    found |= dict.fromkeys(_SEQUENCES, walk.SEQUENCE)
    found |= dict.fromkeys(("DirectoryRecordSequence", "ModalityLUTSequence"), walk.PRESENCE)
    roles = [*[walk.VARYING] * len(OWN), *[walk.SELDOM] * len(SELDOM)]
    found |= {keyword: role + place for place, (keyword, role) in enumerate(zip(VARYING, roles, strict=True))}
    return found | _PRIVATE | _CREATORS | _pet_blocks()


def _pet_blocks() -> dict[Tag, int]:
    """Return what :mod:`medpipe.archive.pet` may find in private blocks: all creators, elements of the first blocks."""
    found: dict[Tag, int] = {}
    for group, elements in {0x0009: (0x0D, 0x3B), 0x0071: (0x22,), 0x7053: (0x00, 0x09)}.items():
        found |= {(group, block): walk.LEAF for block in range(0x10, 0x100)}
        found |= {(group, block << 8 | element): walk.LEAF for block in range(0x10, 0x20) for element in elements}
    return found


def number_of(tag: Tag) -> int:
    """Return a tag as one number."""
    if isinstance(tag, tuple):
        return tag[0] << 16 | tag[1]
    return int(tag_for_keyword(tag) or 0)


ROLES: Final = dict(sorted(_roles().items(), key=lambda one: number_of(one[0])))
"""What each element is wanted for, in the order of the tags."""

TAGS: Final = tuple(ROLES)
NUMBERED: Final = tuple(map(number_of, TAGS))
KINDS: Final = tuple("UN" if isinstance(tag, tuple) else dictionary_VR(number_of(tag)) for tag in TAGS)
"""Types of the dictionary; those of private elements depend on their creator."""

KNOWN_SEQUENCES: Final = tuple(sorted(number for number, entry in DicomDictionary.items() if entry[0] == "SQ"))
