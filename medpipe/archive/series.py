"""Facts of a series: public columns in closed words, and raw values for pseudonyms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from medpipe.archive.alike import counted
from medpipe.archive.header import Header

_MANUFACTURERS: Final = (
    ("SIEMENS", ("SIEMENS", "HEALTHINEERS")),
    ("PHILIPS", ("PHILIPS", "MARCONI", "PICKER")),
    ("GE", ("GE MEDICAL", "GE HEALTHCARE", "GENERAL ELECTRIC", "GEMS")),
    ("CANON", ("CANON", "TOSHIBA")),
    ("UIH", ("UIH", "UNITED IMAGING")),
    ("HITACHI", ("HITACHI",)),
    ("FUJIFILM", ("FUJI",)),
    ("AGFA", ("AGFA",)),
    ("CARESTREAM", ("CARESTREAM", "KODAK")),
    ("HOLOGIC", ("HOLOGIC", "LORAD")),
    ("SAMSUNG", ("SAMSUNG", "MEDISON")),
    ("SHIMADZU", ("SHIMADZU",)),
    ("ESAOTE", ("ESAOTE",)),
    ("BRUKER", ("BRUKER",)),
    ("HYPERFINE", ("HYPERFINE",)),
    ("NEUSOFT", ("NEUSOFT",)),
    ("MINDRAY", ("MINDRAY",)),
    ("ACUSON", ("ACUSON",)),
    ("ALOKA", ("ALOKA",)),
)
_BODY_PARTS: Final = (
    ("WHOLEBODY", ("WHOLEBODY", "WHOLE BODY", "BODY")),
    ("CHEST", ("CHEST", "THORAX", "LUNG", "TSPINE CHEST")),
    ("ABDOMEN", ("ABDOMEN", "LIVER", "KIDNEY", "PANCREAS", "SPLEEN", "STOMACH")),
    ("PELVIS", ("PELVIS", "PROSTATE", "BLADDER", "UTERUS", "HIP")),
    ("HEAD", ("HEAD", "BRAIN", "SKULL", "ORBIT", "SINUS")),
    ("NECK", ("NECK", "THYROID")),
    ("SPINE", ("SPINE", "SSPINE", "TSPINE", "LSPINE", "CSPINE")),
    ("BREAST", ("BREAST",)),
    ("HEART", ("HEART", "CARDIAC", "CORONARY")),
    ("EXTREMITY", ("EXTREMITY", "ARM", "LEG", "KNEE", "FOOT", "HAND", "SHOULDER", "ELBOW", "WRIST", "ANKLE")),
    ("EXTREMITY", ("THIGH", "FEMUR", "TIBIA", "HUMERUS", "FOREARM", "FINGER", "TOE")),
)
_KERNEL_CODE: Final = re.compile(r"[A-Za-z]{0,3}[0-9]{1,3}[a-z]{0,2}(?:[.][0-9]{1,2})?|[A-Z]{1,2}")
_KERNEL_WORDS: Final = frozenset(
    {"ABDOMEN", "BODY", "BONE", "BONEPLUS", "BRAIN", "CHST", "DETAIL", "EDGE", "HEAD", "LUNG", "MEDIUM"}
    | {"SHARP", "SMOOTH", "SOFT", "STANDARD", "ULTRA"}
)
_AGE: Final = re.compile(r"(\d{3})([DWMY])")
_DATE: Final = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_PRIVATE: Final = ("model", "station", "serial", "software", "institution", "study_date")
_Counted = Sequence[tuple[Header, int]]
_DAYS: Final = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}


def series_facts(headers: Sequence[Header]) -> dict[str, dict[str, Any]]:
    """Return what the headers of one series say, the public apart from the private.

    Where headers differ, the commonest value counts; ties go to the smallest.

    Parameters
    ----------
    headers : sequence of Header
        All of one series, at least one.

    Returns
    -------
    dict
        ``columns``: ``modality``, ``manufacturer``, ``kernel``, ``slice_thickness_mm``,
        ``kvp``, ``field_t``, ``contrast``, ``body_part``, ``sex``, ``age_band``,
        ``n_instances`` as in :data:`medpipe.contracts.tables.SERIES`; None where not said.
        ``private``: ``patient_id``, ``study_uid``, ``series_uid``, ``model``, ``station``,
        ``serial``, ``software``, ``institution``, ``study_date`` (YYYYMMDD or empty): raw,
        for pseudonyms, the study day and the period.
    """
    first = headers[0]
    counts = counted(headers)
    private = {name: str(_commonest(counts, name) or "") for name in _PRIVATE}
    private["study_date"] = _date(private["study_date"])
    identifiers = {"patient_id": first.patient_id, "study_uid": first.study_uid, "series_uid": first.series_uid}
    columns = {
        "modality": _modality(counts),
        "manufacturer": manufacturer(str(_commonest(counts, "manufacturer") or "")),
        "kernel": kernel(str(_commonest(counts, "kernel") or "")),
        "slice_thickness_mm": _positive(_commonest(counts, "slice_thickness_mm")),
        "kvp": _positive(_commonest(counts, "kvp")),
        "field_t": _field_t(_commonest(counts, "field_t")),
        "contrast": _contrast(counts),
        "body_part": body_part(str(_commonest(counts, "body_part") or "")),
        "sex": _sex(str(_commonest(counts, "sex") or "")),
        "age_band": _age_band(
            str(_commonest(counts, "age") or ""),
            _date(str(_commonest(counts, "birth_date") or "")),
            private["study_date"],
        ),
        "n_instances": len(headers),
    }
    return {"columns": columns, "private": {**identifiers, **private}}


def manufacturer(said: str) -> str | None:
    """Return a manufacturer's name out of the closed list, ``OTHER``, or None for nothing."""
    plain = said.upper()
    if not plain:
        return None
    if plain == "GE":
        return "GE"
    return next((name for name, parts in _MANUFACTURERS if any(part in plain for part in parts)), "OTHER")


def body_part(said: str) -> str | None:
    """Return a body part out of the closed list, ``OTHER``, or None for nothing."""
    plain = re.sub(r"[^A-Z ]", "", said.upper()).strip()
    if not plain:
        return None
    for name, parts in _BODY_PARTS:
        if plain in parts:
            return name
    # "HEADNECK" is a head, "ABDOMENPELVIS" an abdomen: the first part named counts
    named = [
        (plain.find(part), name) for name, parts in _BODY_PARTS for part in parts if len(part) > 3 and part in plain
    ]
    return min(named)[1] if named else "OTHER"


def kernel(said: str) -> str | None:
    """Return a kernel's name: a code such as B30f, a word of the closed list, else ``OTHER``.

    None for nothing. Any other word could be anybody's text and stays private.
    """
    if not said:
        return None
    return said if said in _KERNEL_WORDS or _KERNEL_CODE.fullmatch(said) else "OTHER"


def _commonest(headers: _Counted, name: str) -> Any:
    counts: Counter[Any] = Counter()
    for header, count in headers:
        if name in header.facts:
            counts[header.facts[name]] += count
    if not counts:
        return None
    most = max(counts.values())
    return min(said for said, count in counts.items() if count == most)


def _modality(headers: _Counted) -> str | None:
    counts: Counter[str] = Counter()
    for header, count in headers:
        if re.fullmatch(r"[A-Z]{2,10}", header.modality):
            counts[header.modality] += count
    return min(counts, key=lambda said: (-counts[said], said)) if counts else None


def _positive(measured: Any) -> float | None:
    return float(measured) if isinstance(measured, (int, float)) and measured > 0 else None


def _field_t(measured: Any) -> float | None:
    field = _positive(measured)
    # some write gauss
    return field / 10_000 if field is not None and field > 100 else field


def _contrast(headers: _Counted) -> bool | None:
    if any(header.facts.get("contrast_agent") for header, _ in headers):
        return True
    return False if any(header.facts.get("contrast_said") for header, _ in headers) else None


def _sex(said: str) -> str | None:
    return said.upper() if said.upper() in {"F", "M", "O"} else None


def _date(said: str) -> str:
    found = _DATE.fullmatch(said)
    return "".join(found.groups()) if found else ""


def _age_band(age: str, birth_date: str, study_date: str) -> str | None:
    """Return a decade such as ``60-69``, or ``90+``; by the stated age, else by the dates."""
    found = _AGE.fullmatch(age)
    if found:
        years = int(int(found[1]) / _DAYS[found[2]])
    elif birth_date and study_date and study_date >= birth_date:
        years = int(study_date[:4]) - int(birth_date[:4]) - (study_date[4:] < birth_date[4:])
    else:
        return None
    if years > 130:
        return None
    decade = years // 10 * 10
    return "90+" if decade >= 90 else f"{decade}-{decade + 9}"
