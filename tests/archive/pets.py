"""PET series made by hand: what an uptake is computed of, and how to say it otherwise."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedPETImageStorage, PositronEmissionTomographyImageStorage

from tests.archive.conftest import Archive, make_slice, to_bytes

WEIGHT_KG, HEIGHT_M = 70.0, 1.75
DOSE_BQ = 370e6
HALF_LIFE_S = 6586.2
FRAME_S = 300.0
SCAN = datetime(2025, 1, 1, 11, 0, tzinfo=UTC)
GIVEN = datetime(2025, 1, 1, 10, 0, tzinfo=UTC)
CORRECTED = ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"]
GE, PHILIPS, SIEMENS = "GEMS_PETD_01", "Philips PET Private Group", "SIEMENS MED PT"


def mean_s(frame_s: float = FRAME_S, half_life_s: float = HALF_LIFE_S) -> float:
    """Return when within a frame the activity is its mean, by bisection on a sum of small parts."""
    mean = mean_activity(0.0, frame_s, half_life_s)
    low, high = 0.0, frame_s
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 ** (middle / half_life_s) > mean else (low, middle)
    return low


def mean_activity(first_s: float, frame_s: float = FRAME_S, half_life_s: float = HALF_LIFE_S) -> float:
    """Return the mean of what is left of 1 over a frame, by a sum of small parts."""
    moments = first_s + (np.arange(20_000) + 0.5) * frame_s / 20_000
    return float(np.mean(0.5 ** (moments / half_life_s)))


def date(moment: datetime) -> str:
    return moment.strftime("%Y%m%d")


def clock(moment: datetime) -> str:
    return moment.strftime("%H%M%S.%f")


def injection(**changes: Any) -> Sequence:
    """Return a radiopharmaceutical sequence; None takes an element out."""
    item = Dataset()
    said = {
        "RadionuclideTotalDose": DOSE_BQ,
        "RadionuclideHalfLife": HALF_LIFE_S,
        "RadiopharmaceuticalStartTime": clock(GIVEN),
        "RadiopharmaceuticalStartDateTime": date(GIVEN) + clock(GIVEN),
        **changes,
    }
    nuclide = said.pop("nuclide", "C-111A1")
    for keyword, value in said.items():
        if value is not None:
            setattr(item, keyword, value)
    if nuclide is not None:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = nuclide, "SRT", "of a tracer"
        item.RadionuclideCodeSequence = Sequence([code])
    return Sequence([item])


def pet(n: int = 3, *, begins: Any = None, **changes: Any) -> list[Dataset]:
    """Return the slices of a PET; ``begins`` is when each is acquired, None in ``changes`` takes an element out."""
    begins = [SCAN] * n if begins is None else begins
    said = {
        "SOPClassUID": PositronEmissionTomographyImageStorage,
        "Modality": "PT",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "SeriesType": ["STATIC", "IMAGE"],
        "Units": "BQML",
        "CorrectedImage": CORRECTED,
        "DecayCorrection": "START",
        "PatientWeight": WEIGHT_KG,
        "PatientSize": HEIGHT_M,
        "PatientSex": "M",
        "SeriesDate": date(SCAN),
        "SeriesTime": clock(SCAN),
        "ActualFrameDuration": str(int(FRAME_S * 1000)),
        "RescaleSlope": 1.0,
        "RescaleIntercept": 0.0,
        "RadiopharmaceuticalInformationSequence": injection(),
        **changes,
    }
    pixels = np.random.default_rng(5).integers(0, 30_000, (n, 6, 8)).astype(np.uint16)
    slices = []
    for place, began in enumerate(begins):
        times = {
            "AcquisitionDate": date(began),
            "AcquisitionTime": clock(began),
            "FrameReferenceTime": round(1000 * ((began - SCAN).total_seconds() + mean_s()), 3),
        }
        # each slice its own sequence, so that one may be changed
        elements = deepcopy({**times, **said, "InstanceNumber": place + 1})
        slices.append(make_slice(pixels[place], position=(0, 0, 3 * place), **elements))
    return slices


def enhanced(
    n: int = 3, *, unit: str = "Bq/ml", slopes: Any = None, frames: Any = None, groups: Any = None, **changes: Any
) -> Dataset:
    """Return a multi-frame PET.

    Parameters
    ----------
    n : int
        Frames.
    unit : str
        UCUM code of the real-world map.
    slopes : sequence of (float, float), optional
        Rescale slope and slope of the real-world map, by frame.
    frames : sequence of dict, optional
        Elements of each frame's content.
    groups : dict, optional
        Elements of each frame's group, None takes one out.
    **changes
        Elements of the object, None takes one out.
    """
    pixels = np.random.default_rng(5).integers(0, 30_000, (n, 6, 8)).astype(np.uint16)
    said = {
        "SOPClassUID": EnhancedPETImageStorage,
        "Modality": "PT",
        "ImageType": ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"],
        "NumberOfFrames": n,
        "Rows": 6,
        "Columns": 8,
        "PixelData": pixels.tobytes(),
        "DecayCorrected": "YES",
        "DecayCorrectionDateTime": date(SCAN) + clock(SCAN),
        "AttenuationCorrected": "YES",
        "PatientWeight": WEIGHT_KG,
        "PatientSize": HEIGHT_M,
        "PatientSex": "M",
        "RescaleSlope": None,
        "RescaleIntercept": None,
        "ImagePositionPatient": [0, 0, 0],
        "RadiopharmaceuticalInformationSequence": injection(),
        **changes,
    }
    one = make_slice(pixels[0], **said)
    items = []
    for place in range(n):
        rescale, world = (1.0, 1.0) if slopes is None else slopes[place]
        content = {"FrameAcquisitionDateTime": date(SCAN) + clock(SCAN), "FrameAcquisitionDuration": 1000 * FRAME_S}
        code = _item(CodeValue=unit, CodingSchemeDesignator="UCUM", CodeMeaning="of the map")
        real_world = _item(
            RealWorldValueSlope=world, RealWorldValueIntercept=0.0, MeasurementUnitsCodeSequence=Sequence([code])
        )
        group = {
            "FrameContentSequence": _item(**(content if frames is None else frames[place])),
            "PlanePositionSequence": _item(ImagePositionPatient=[0.0, 0.0, 3.0 * place]),
            "PlaneOrientationSequence": _item(ImageOrientationPatient=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
            "PixelMeasuresSequence": _item(PixelSpacing=[2.0, 2.0], SliceThickness=3.0),
            "PixelValueTransformationSequence": _item(RescaleSlope=rescale, RescaleIntercept=0.0, RescaleType="US"),
            "RealWorldValueMappingSequence": real_world,
            **(groups or {}),
        }
        items.append(_item(**{name: Sequence([item]) for name, item in group.items() if item is not None}))
    one.PerFrameFunctionalGroupsSequence = Sequence(items)
    return one


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def shifted(slices: list[Dataset], by: timedelta) -> list[Dataset]:
    """Move every date and time by as much."""
    for one in slices:
        (item,) = one.RadiopharmaceuticalInformationSequence
        for day, hour in (("SeriesDate", "SeriesTime"), ("AcquisitionDate", "AcquisitionTime")):
            moment = datetime.strptime(one[day].value + one[hour].value, "%Y%m%d%H%M%S.%f").replace(tzinfo=UTC) + by
            one[day].value, one[hour].value = date(moment), clock(moment)
        moment = datetime.strptime(item.RadiopharmaceuticalStartDateTime, "%Y%m%d%H%M%S.%f").replace(tzinfo=UTC) + by
        item.RadiopharmaceuticalStartDateTime = date(moment) + clock(moment)
        item.RadiopharmaceuticalStartTime = clock(moment)
    return slices


def private(slices: list[Dataset], creator: str, group: int, *, block_in_use: bool = False, **elements: Any) -> Any:
    """Put private elements in, by offset as ``x0D``; perhaps in the second block of the group."""
    for one in slices:
        if block_in_use:
            one.private_block(group, "SOMEBODY ELSE", create=True).add_new(0x0D, "LO", "19000101")
        block = one.private_block(group, creator, create=True)
        for name, (vr, value) in elements.items():
            block.add_new(int(name[1:], 16), vr, value)
    return slices


def stack_of(slices: list[Dataset]) -> Any:
    """Return the one stack that slices make, and the archive."""
    archive = Archive({str(place): to_bytes(one) for place, one in enumerate(slices)})
    (stack,) = archive.assembly.stacks
    return stack, archive


def suv_of(slices: list[Dataset]) -> Any:
    """Return the factors to uptake of the one stack that slices make."""
    return stack_of(slices)[0].suv
