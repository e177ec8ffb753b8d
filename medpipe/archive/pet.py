"""What a PET header says of units, patient, injection and times: all that an uptake is computed of.

Weights, doses and times identify: they stay in the private header. Sources: DICOM PS3.3 C.8.9.1
(PET series), C.8.9.2 (isotope), C.8.9.4 (PET image), C.8.22 (enhanced PET); private elements of
GE, Philips and Siemens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from medpipe.archive.elements import items, number, text, texts
from medpipe.archive.instants import Instant, clock_of, instant_of, instant_said, moment_of
from medpipe.archive.pet_frames import PetFrame, pet_frames

_CODES: Final = {
    **dict.fromkeys(("C-111A1", "77004003"), "F-18"),
    **dict.fromkeys(("C-131A3", "35337001"), "Ga-68"),
    **dict.fromkeys(("C-105A1", "40565003"), "C-11"),
    **dict.fromkeys(("C-107A1", "21576001"), "N-13"),
    **dict.fromkeys(("C-B1038", "129504001"), "O-15"),
    **dict.fromkeys(("C-127A2", "3932008"), "Cu-64"),
    **dict.fromkeys(("C-168A4", "63360001"), "Zr-89"),
    **dict.fromkeys(("C-114A5", "40937006"), "I-124"),
    **dict.fromkeys(("C-159A2", "79197006"), "Rb-82"),
}
"""SRT and SNOMED CT codes of radionuclides (PS3.16 CID 4020)."""

_ELEMENTS: Final = {
    "fluorine": "F",
    "gallium": "Ga",
    "carbon": "C",
    "nitrogen": "N",
    "oxygen": "O",
    "copper": "Cu",
    "zirconium": "Zr",
    "iodine": "I",
    "rubidium": "Rb",
}
_NAME: Final = re.compile(r"\^?(\d+)\^?-?([A-Za-z]+)|([A-Za-z]+)-?\^?(\d+)\^?")

_PRIVATE_GROUPS: Final = frozenset({0x0009, 0x0071, 0x7053})
_GE: Final = "GEMS_PETD_01"
_PHILIPS: Final = "Philips PET Private Group"
_SIEMENS: Final = "SIEMENS MED PT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pet:
    """What a PET image says; values as they stand, of whatever unit they really are.

    Attributes
    ----------
    units, suv_type, decay : str
        Units (0054,1001), SUV Type (0054,1006) and Decay Correction (0054,1102). Of a multi-frame
        image that says to which instant decay is corrected, ``START``.
    corrected, series_type : tuple of str
        Corrected Image (0028,0051) and Series Type (0054,1000).
    weight_kg, height_m : float or None
    sex : str
    n_injections : int
        Items of the radiopharmaceutical sequence; the fields below are of the first.
    dose_bq, half_life_s : float or None
    nuclide : str
        One of nine, such as ``F-18``, or nothing.
    given : Instant or None
        Radiopharmaceutical Start DateTime.
    given_clock_s : float or None
        Radiopharmaceutical Start Time.
    series, acquired : Instant or None
        Series and acquisition date and time.
    frame_reference_s, frame_s : float or None
        Frame Reference Time and Actual Frame Duration.
    scan_start : Instant or None
        What the vendor says that decay is corrected to (GE 0009,xx0D; Siemens 0071,xx22).
    vendor_given : Instant or None
        When GE says that the activity was given (0009,xx3B).
    suv_per_count, bqml_per_count : float or None
        Philips 7053,xx00 and 7053,xx09.
    corrected_to : Instant or None
        Decay Correction DateTime (0018,9701) of a multi-frame image.
    mean_at : Instant or None
        When a frame's activity is its mean.
    per_value : float
        Of the unit for a modality value of 1.
    frames : tuple of PetFrame
        Of a multi-frame image.
    """

    units: str = ""
    suv_type: str = ""
    decay: str = ""
    corrected: tuple[str, ...] = ()
    series_type: tuple[str, ...] = ()
    weight_kg: float | None = None
    height_m: float | None = None
    sex: str = ""
    n_injections: int = 0
    dose_bq: float | None = None
    half_life_s: float | None = None
    nuclide: str = ""
    given: Instant | None = None
    given_clock_s: float | None = None
    series: Instant | None = None
    acquired: Instant | None = None
    frame_reference_s: float | None = None
    frame_s: float | None = None
    scan_start: Instant | None = None
    vendor_given: Instant | None = None
    suv_per_count: float | None = None
    bqml_per_count: float | None = None
    corrected_to: Instant | None = None
    mean_at: Instant | None = None
    per_value: float = 1.0
    frames: tuple[PetFrame, ...] = ()

    def frame(self, place: int) -> Pet:
        """Return what a multi-frame image says of one of its frames."""
        return replace(self, **self.frames[place]._asdict(), frames=())


def read_pet(dataset: Any) -> Pet:
    """Return what a PET's data set says."""
    injections = items(dataset, "RadiopharmaceuticalInformationSequence")
    injection = injections[0] if injections else {}
    private = _private(dataset)
    return Pet(
        units=text(dataset, "Units").upper(),
        suv_type=text(dataset, "SUVType").upper(),
        decay=text(dataset, "DecayCorrection").upper() or _decay(dataset),
        corrected=texts(dataset, "CorrectedImage") or _corrected(dataset),
        series_type=texts(dataset, "SeriesType"),
        weight_kg=number(dataset, "PatientWeight"),
        height_m=number(dataset, "PatientSize"),
        sex=text(dataset, "PatientSex").upper(),
        n_injections=len(injections),
        dose_bq=number(injection, "RadionuclideTotalDose"),
        half_life_s=number(injection, "RadionuclideHalfLife"),
        nuclide=_nuclide(injection),
        given=moment_of(injection, "RadiopharmaceuticalStartDateTime", top=dataset),
        given_clock_s=clock_of(injection, "RadiopharmaceuticalStartTime"),
        series=instant_of(dataset, "SeriesDate", "SeriesTime"),
        acquired=moment_of(dataset, "AcquisitionDateTime", top=dataset)
        or instant_of(dataset, "AcquisitionDate", "AcquisitionTime"),
        frame_reference_s=_frame_reference_s(dataset),
        frame_s=_thousandth(number(dataset, "ActualFrameDuration")),
        scan_start=_moment(dataset, private, _GE, 0x0D) or _moment(dataset, private, _SIEMENS, 0x22),
        vendor_given=_moment(dataset, private, _GE, 0x3B),
        suv_per_count=_number(dataset, private, _PHILIPS, 0x00),
        bqml_per_count=_number(dataset, private, _PHILIPS, 0x09),
        corrected_to=moment_of(dataset, "DecayCorrectionDateTime", top=dataset),
        frames=pet_frames(dataset),
    )


def read_again(pet: Pet, dataset: Any, facts: Mapping[str, Any]) -> Pet:
    """Return what a slice says that differs from another in dates, times and position in time alone.

    Parameters
    ----------
    pet : Pet
        What the other says, without an Acquisition DateTime.
    dataset : pydicom.Dataset
        Of the slice, with what tells its position in time.
    facts : mapping
        Of the slice, see :func:`medpipe.archive.facts.read_facts`.
    """
    frame_reference_s, series = _frame_reference_s(dataset), _at(facts, "series")
    if (frame_reference_s, series) != (pet.frame_reference_s, pet.series):
        pet = replace(pet, frame_reference_s=frame_reference_s, series=series)
    return acquired_again(pet, facts)


def acquired_again(pet: Pet, facts: Mapping[str, Any]) -> Pet:
    """Return what a slice says that differs from another in the time of its acquisition alone; see :func:`read_again`."""
    acquired = _at(facts, "acquisition")
    return pet if acquired == pet.acquired else replace(pet, acquired=acquired)


def _at(facts: Mapping[str, Any], what: str) -> Instant | None:
    return instant_said(facts.get(f"{what}_date", ""), facts.get(f"{what}_time", ""))


def _frame_reference_s(dataset: Any) -> float | None:
    return _thousandth(number(dataset, "FrameReferenceTime"))


def _decay(dataset: Any) -> str:
    """Return what Decay Corrected (0018,9758) of a multi-frame image comes to."""
    said = text(dataset, "DecayCorrected").upper()
    if said == "YES":
        return "START" if moment_of(dataset, "DecayCorrectionDateTime", top=dataset) is not None else ""
    return "NONE" if said == "NO" else ""


def _corrected(dataset: Any) -> tuple[str, ...]:
    """Return what a multi-frame image is corrected for, in the words of Corrected Image."""
    said = (("ATTN", "AttenuationCorrected"), ("DECY", "DecayCorrected"))
    return tuple(word for word, keyword in said if text(dataset, keyword).upper() == "YES")


def _private(dataset: Any) -> dict[str, tuple[int, int]]:
    """Return group and block of the private creators that matter."""
    known = {_GE: 0x0009, _PHILIPS: 0x7053, _SIEMENS: 0x0071}
    found: dict[str, tuple[int, int]] = {}
    for tag in dataset.keys():  # noqa: SIM118  # a data set yields its elements, each parsed
        group, element = int(tag) >> 16, int(tag) & 0xFFFF
        if group in _PRIVATE_GROUPS and 0x10 <= element <= 0xFF:
            creator = text(dataset, (group, element))
            if known.get(creator) == group:
                found.setdefault(creator, (group, element << 8))
    return found


def _moment(dataset: Any, private: dict[str, tuple[int, int]], creator: str, offset: int) -> Instant | None:
    block = private.get(creator)
    return None if block is None else moment_of(dataset, (block[0], block[1] | offset), top=dataset)


def _number(dataset: Any, private: dict[str, tuple[int, int]], creator: str, offset: int) -> float | None:
    block = private.get(creator)
    return None if block is None else number(dataset, (block[0], block[1] | offset))


def _nuclide(injection: Any) -> str:
    for item in items(injection, "RadionuclideCodeSequence"):
        known = _CODES.get(text(item, "CodeValue")) or _named(text(item, "CodeMeaning"))
        if known:
            return known
    return ""


def _named(meaning: str) -> str:
    found = _NAME.fullmatch(meaning.strip())
    if found is None:
        return ""
    word, mass = (found[2], found[1]) if found[1] else (found[3], found[4])
    name = f"{_ELEMENTS.get(word.lower(), word.capitalize())}-{mass}"
    return name if name in _CODES.values() else ""


def _thousandth(measured: float | None) -> float | None:
    return None if measured is None else measured / 1000.0
