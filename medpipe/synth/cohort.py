"""Who is in the archive: patients, their visits, and what is different about each.

Everything drawn here follows from the seed and the place in the archive alone, so a longer
archive of the same seed begins with the same studies.
"""

from __future__ import annotations

import hashlib
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count, islice
from typing import Literal

import numpy as np

NoduleKind = Literal["smooth", "spiculated"]
RoiObject = Literal["SEG", "RTSTRUCT"]

_FIRST_DAY = date(2020, 1, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A phantom patient.

    Attributes
    ----------
    number : int
        From 1.
    kind : {"smooth", "spiculated"}
        Kind of the nodule, the same at every visit.
    roi_object : {"SEG", "RTSTRUCT"}
        How the nodule's outline is stored.
    n_visits : int
    sex : {"F", "M"}
    age : int
        Years at the first visit.
    height_m, weight_kg : float
    """

    number: int
    kind: NoduleKind
    roi_object: RoiObject
    n_visits: int
    sex: Literal["F", "M"]
    age: int
    height_m: float
    weight_kg: float

    @property
    def patient_id(self) -> str:
        """Patient ID, plainly a phantom's."""
        return f"PHANTOM-{self.number:04d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noisy:
    """Which acquisitions of a visit were made with far too little dose or time."""

    ct: bool
    mr: bool
    pet: bool
    xray: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One study of a patient.

    Attributes
    ----------
    seed : int
        Seed of the archive.
    index : int
        Place of the study in the archive, from 0.
    patient : Patient
    number : int
        Place among the patient's visits, from 0.
    day : date
    noisy : Noisy
    """

    seed: int
    index: int
    patient: Patient
    number: int
    day: date
    noisy: Noisy

    def rng(self, purpose: str) -> np.random.Generator:
        """Return the visit's random numbers for one purpose."""
        return _rng(self.seed, f"visit {purpose}", self.patient.number, self.number)

    def patient_rng(self, purpose: str) -> np.random.Generator:
        """Return random numbers that are the same at every visit of the patient."""
        return _rng(self.seed, f"patient {purpose}", self.patient.number)

    def uid(self, *parts: str | int) -> str:
        """Return a UID that names ``parts`` within this visit."""
        return uid(self.seed, self.patient.number, self.number, *parts)


def visits(*, studies: int, seed: int) -> tuple[Visit, ...]:
    """Return the visits of an archive of ``studies`` studies, patient by patient."""
    return tuple(islice(_all_visits(seed), studies))


def uid(*parts: str | int) -> str:
    """Return a UID under 2.25 (a UUID as an integer, DICOM PS3.5 B.2) derived from ``parts``."""
    name = hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:16]
    return f"2.25.{uuid.UUID(bytes=name, version=5).int}"


def _all_visits(seed: int) -> Iterator[Visit]:
    index = count()
    for number in count(1):
        patient = _patient(seed, number)
        first = _FIRST_DAY + timedelta(days=3 * number)
        for visit in range(patient.n_visits):
            place = next(index)
            yield Visit(
                seed=seed,
                index=place,
                patient=patient,
                number=visit,
                day=first + timedelta(days=119 * visit),
                noisy=_noisy(seed, place),
            )


def _patient(seed: int, number: int) -> Patient:
    rng = _rng(seed, "patient", number)
    male = bool(rng.integers(2))
    height_m = round(float(rng.normal(1.78 if male else 1.65, 0.05)), 2)
    return Patient(
        number=number,
        kind="spiculated" if _one_of_two(seed, "kind", number - 1) else "smooth",
        roi_object="RTSTRUCT" if number % 4 == 2 else "SEG",
        n_visits=2 if number % 4 == 3 else 1,
        sex="M" if male else "F",
        age=int(rng.integers(45, 80)),
        height_m=height_m,
        weight_kg=round(float(rng.uniform(21, 31)) * height_m**2, 1),
    )


def _noisy(seed: int, index: int) -> Noisy:
    return Noisy(
        ct=_one_of_two(seed, "CT noise", index),
        mr=_one_of_two(seed, "MR noise", index),
        pet=_one_of_two(seed, "PET noise", index),
        xray=_one_of_two(seed, "X-ray noise", index),
    )


def _one_of_two(seed: int, purpose: str, place: int) -> bool:
    # Drawn per pair: an archive of any even length is balanced, and no place tells the answer.
    return bool(_rng(seed, purpose, place // 2).integers(2)) != bool(place % 2)


def _rng(seed: int, purpose: str, *places: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *places])
