"""From the headers of a PET stack to what its values are multiplied with to become uptake values.

Uptake is the part of the activity given that a gram (or a square centimetre) of the body would
hold if the activity were spread evenly: SUV = value x norm / activity. Nothing is guessed in
silence: what the headers do not say refuses the kinds it takes, what they say oddly is flagged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from medpipe.archive.bodies import KINDS, body_of
from medpipe.archive.decay import activity_left
from medpipe.archive.doubts import Frames
from medpipe.archive.header import Header
from medpipe.archive.pet import Pet
from medpipe.archive.stacks import Member
from medpipe.errors import Rejected
from medpipe.values import SuvScales

_GML_KINDS: Final = {
    "": "bw",
    "BW": "bw",
    "LBM": "lbm",
    "LBMJAMES128": "lbmjames128",
    "LBMJANMA": "lbmjanma",
    "IBW": "ibw",
}
_ALIKE: Final = (
    "suv_type",
    "decay",
    "corrected",
    "weight_kg",
    "height_m",
    "sex",
    "n_injections",
    "dose_bq",
    "half_life_s",
    "nuclide",
    "given",
    "given_clock_s",
    "vendor_given",
    "corrected_to",
    "units",
)
_PROJECTIONS: Final = frozenset({"REPROJECTION", "MIP", "PROJECTION IMAGE"})


def suv_scales(members: Sequence[Member], frames: Frames, series: Iterable[Header]) -> SuvScales | None:
    """Return the factors from values to uptake, or None for what is no PET.

    Parameters
    ----------
    members : sequence of Member
        Of a stack, in array order.
    frames : sequence of (Header, Plane)
        What they say.
    series : iterable of Header
        All images of its series: the first acquisition of them counts.

    Returns
    -------
    SuvScales or None
        For each kind factors or a code; one factor where all planes share it.
    """
    if any(header.modality != "PT" for header, _ in frames):
        return None
    try:
        pets = _planes(members, frames)
        _check(frames, pets)
        source = _uptake_already(pets)
        if source is not None:
            return _converted(*source, pets[0])
        return _computed(pets, (pet for header in series for pet in _images(header)))
    except Rejected as rejected:
        return SuvScales(by_kind=dict.fromkeys(KINDS, rejected.code))


def _planes(members: Sequence[Member], frames: Frames) -> list[Pet]:
    """Return what is said of each plane."""
    if len(members) != len(frames):
        raise Rejected("E_SUV_MULTIFRAME")
    of_files: dict[str, tuple[Pet, ...]] = {}
    found = []
    for member, (header, _) in zip(members, frames, strict=True):
        if member.path not in of_files:
            of_files[member.path] = _images(header)
        images = of_files[member.path]
        is_one = header.n_frames == 1 and not header.frames
        if len(images) != header.n_frames or (member.frame < 0 and not is_one):
            raise Rejected("E_SUV_MULTIFRAME")
        found.append(images[max(member.frame, 0)])
    return found


def _images(header: Header) -> tuple[Pet, ...]:
    """Return what a file says of each of its frames."""
    if header.pet is None:
        return ()
    return tuple(header.pet.frame(place) for place in range(len(header.pet.frames))) or (header.pet,)


def _check(frames: Frames, pets: Sequence[Pet]) -> None:
    """Refuse what no factor makes an uptake of."""
    first = pets[0]
    shown = {*first.series_type, *(word for _, plane in frames for word in plane.image_type)}
    if shown & _PROJECTIONS:
        raise Rejected("E_SUV_PROJECTION")
    if any(getattr(pet, name) != getattr(first, name) for pet in pets for name in _ALIKE):
        raise Rejected("E_SUV_MIXED")
    if any(header.has_table or plane.slope is None or plane.intercept != 0 for header, plane in frames):
        raise Rejected("E_SUV_INTERCEPT")
    if "ATTN" not in first.corrected:
        raise Rejected("E_SUV_NOT_ATTN_CORRECTED")


def _uptake_already(pets: Sequence[Pet]) -> tuple[str, tuple[float, ...]] | None:
    """Return the kind of uptake that values are, and the factors to it; None where they are activities."""
    units = pets[0].units
    kind = {"GML": _GML_KINDS, "CM2ML": {"": "bsa", "BSA": "bsa"}}.get(units, {}).get(pets[0].suv_type)
    if kind is not None:
        return kind, tuple(pet.per_value for pet in pets)
    per_count = [pet.suv_per_count for pet in pets if pet.suv_per_count is not None and pet.suv_per_count > 0]
    return ("bw", tuple(per_count)) if units == "CNTS" and len(per_count) == len(pets) else None


def _converted(source: str, factors: tuple[float, ...], pet: Pet) -> SuvScales:
    """Return the factors of all kinds from those of one: kinds differ by what they are normalised to."""
    body = body_of(pet)
    by_kind: dict[str, tuple[float, ...] | str] = {}
    of_source = body.norms[source]
    for kind, norm in body.norms.items():
        if kind == source:
            by_kind[kind] = _shared(factors)
        elif isinstance(norm, str) or isinstance(of_source, str):
            by_kind[kind] = norm if isinstance(norm, str) else str(of_source)
        else:
            by_kind[kind] = _shared([factor * norm / of_source for factor in factors])
    return SuvScales(by_kind=by_kind, flags=body.flags)


def _computed(pets: Sequence[Pet], series: Iterable[Pet]) -> SuvScales:
    """Return the factors of all kinds from activity concentrations."""
    body = body_of(pets[0])
    bqml = [pet.per_value for pet in pets] if pets[0].units == "BQML" else _bqml_per_count(pets)
    left = activity_left(pets, series)
    left_bq = left.bq if len(left.bq) == len(pets) else left.bq * len(pets)
    per_ml = [one / bq for one, bq in zip(bqml, left_bq, strict=True)]
    by_kind = {
        kind: norm if isinstance(norm, str) else _shared([one * norm for one in per_ml])
        for kind, norm in body.norms.items()
    }
    return SuvScales(by_kind=by_kind, flags=tuple(sorted({*body.flags, *left.flags})))


def _bqml_per_count(pets: Sequence[Pet]) -> list[float]:
    found = [pet.bqml_per_count for pet in pets if pet.bqml_per_count is not None and pet.bqml_per_count > 0]
    if pets[0].units != "CNTS" or len(found) < len(pets):
        raise Rejected("E_SUV_UNITS")
    return found


def _shared(factors: Sequence[float]) -> tuple[float, ...] | str:
    """Return one factor where all planes have it, else all; a code where they are no numbers to multiply with."""
    if not all(0 < factor < math.inf for factor in factors):
        return "E_SUV_UNITS"
    return tuple(factors[:1]) if len(set(factors)) == 1 else tuple(factors)
