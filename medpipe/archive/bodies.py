"""What an uptake is normalised to: body weight, lean mass, ideal weight, surface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from medpipe.archive.pet import Pet

KINDS: Final = ("bw", "lbm", "lbmjames128", "lbmjanma", "ibw", "bsa")
"""Kinds of uptake, as SUV Type (0054,1006) names them."""

_BY_SEX: Final = frozenset({"lbm", "lbmjames128", "lbmjanma", "ibw"})
_WEIGHTS_KG: Final = (1e-3, 1000.0)
_HEIGHTS_CM: Final = (1.0, 300.0)
"""What a body can have, from a mouse on; above, it is in g and in cm where kg and m belong."""


@dataclass(frozen=True, slots=True)
class Body:
    """A patient's size in numbers.

    Attributes
    ----------
    norms : mapping of str to (float or str)
        By kind, what an uptake is normalised to: g, and cm2 for ``bsa``; or the reason code why
        that is not known.
    flags : tuple of str
    """

    norms: Mapping[str, float | str]
    flags: tuple[str, ...]


def body_of(pet: Pet) -> Body:
    """Return what a patient's weight, height and sex make.

    W in kg, H in cm, BMI in kg/m2. Lean mass (James): men 1.10 W - 120 (W/H)^2, with 128 for
    ``lbmjames128``; women 1.07 W - 148 (W/H)^2. Lean mass (Janmahasatian): men
    9270 W / (6680 + 216 BMI), women 9270 W / (8780 + 244 BMI). Ideal weight: men
    48.0 + 1.06 (H - 152), women 45.5 + 0.91 (H - 152). Surface (Du Bois):
    0.007184 H^0.725 W^0.425 m2. Sex O takes the mean of both. Source: DICOM PS3.3 C.8.9.1
    (SUV Type).
    """
    weight_kg, height_cm, guessed = _measured(pet)
    norms = {kind: _norm(kind, weight_kg, height_cm, pet.sex) for kind in KINDS}
    flags = ["W_SUV_UNIT_GUESSED"] if guessed else []
    if pet.sex == "O" and any(isinstance(norms[kind], float) for kind in _BY_SEX):
        flags.append("W_SUV_SEX")
    return Body(norms, tuple(flags))


def _measured(pet: Pet) -> tuple[float | None, float | None, bool]:
    weight, height_cm = pet.weight_kg or 0.0, 100.0 * (pet.height_m or 0.0)
    in_grams, in_cm = weight > _WEIGHTS_KG[1], height_cm > _HEIGHTS_CM[1]
    weight_kg = _within(weight / 1000.0 if in_grams else weight, _WEIGHTS_KG)
    height_cm_or_none = _within(height_cm / 100.0 if in_cm else height_cm, _HEIGHTS_CM)
    guessed = (in_grams and weight_kg is not None) or (in_cm and height_cm_or_none is not None)
    return weight_kg, height_cm_or_none, guessed


def _norm(kind: str, weight_kg: float | None, height_cm: float | None, sex: str) -> float | str:
    if weight_kg is None and kind != "ibw":
        return "E_SUV_NO_WEIGHT"
    if kind == "bw":
        return 1000.0 * _known(weight_kg)
    if height_cm is None:
        return "E_SUV_NO_HEIGHT"
    if kind == "bsa":
        return float(1e4 * 0.007184 * height_cm**0.725 * _known(weight_kg) ** 0.425)
    if sex not in {"M", "F", "O"}:
        return "E_SUV_NO_SEX"
    masses_kg = [_mass_kg(kind, weight_kg, height_cm, one) for one in ("MF" if sex == "O" else sex)]
    mass_kg = sum(masses_kg) / len(masses_kg)
    # bodies that the formulas were not made for
    return 1000.0 * mass_kg if min(masses_kg) > 0 else "E_SUV_NO_HEIGHT"


def _mass_kg(kind: str, weight_kg: Any, height_cm: float, sex: str) -> float:
    man = sex == "M"
    if kind == "ibw":
        return (48.0 + 1.06 * (height_cm - 152.0)) if man else (45.5 + 0.91 * (height_cm - 152.0))
    if kind == "lbmjanma":
        bmi = weight_kg / (height_cm / 100.0) ** 2
        return float(9270.0 * weight_kg / ((6680.0 + 216.0 * bmi) if man else (8780.0 + 244.0 * bmi)))
    slope, square = (1.10, 128.0 if kind == "lbmjames128" else 120.0) if man else (1.07, 148.0)
    return float(slope * weight_kg - square * (weight_kg / height_cm) ** 2)


def _known(weight_kg: float | None) -> float:
    assert weight_kg is not None
    return weight_kg


def _within(measured: float, bounds: tuple[float, float]) -> float | None:
    return measured if bounds[0] <= measured <= bounds[1] else None
