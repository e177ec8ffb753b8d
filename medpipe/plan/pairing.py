"""Which volume of a study is the companion image of a case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from medpipe.plan.choice import Candidate, choose
from medpipe.recipe.companion import CompanionImage
from medpipe.recipe.preferences import Preference

Row = Mapping[str, Any]

NONE_FITS = "S_NO_COMPANION"


class Paired(NamedTuple):
    """A companion image of a case: its name, and the volume it is; or the code why there is none."""

    name: str
    volume_key: str
    code: str = ""


def studies_of(volumes: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the volumes that may be companions by the study they are of."""
    found: dict[str, list[Row]] = {}
    for row in volumes:
        if row["verdict"] != "refused":
            found.setdefault(str(row.get("study_key")), []).append(row)
    return found


def paired(companions: Iterable[CompanionImage], volume: Row, study: Sequence[Row]) -> tuple[Paired, ...]:
    """Return a volume's companion images.

    Parameters
    ----------
    companions : iterable of CompanionImage
    volume : mapping
        A ``volumes`` row with what its series says, and ``frame_key``.
    study : sequence of mapping
        The same of all volumes of its study, none of them refused.

    Returns
    -------
    tuple of Paired
        In the order of the companions. Of the volumes that fit, one in the frame of reference of
        the volume comes before others, then preferences decide, and last the keys.
    """
    return tuple(_paired(one, volume, study) for one in companions)


def _paired(companion: CompanionImage, volume: Row, study: Sequence[Row]) -> Paired:
    own = volume.get("frame_key")
    # a localizer is chosen among localizers alone, whatever its frame
    first, *others = companion.selection.prefer
    shared = Preference(label="same_frame", number=lambda row: float(own is None or row.get("frame_key") != own))
    selection = replace(companion.selection, prefer=(first, shared, *others))
    fitting = [
        Candidate(row["volume_key"], row["series_key"], selection.numbers(row))
        for row in study
        if row["volume_key"] != volume["volume_key"] and selection.where.takes(row) is None
    ]
    if not fitting:
        return Paired(companion.name, "", NONE_FITS)
    lost = choose(fitting, selection)
    (winner,) = (one.volume_key for one in fitting if one.volume_key not in lost)
    return Paired(companion.name, winner)
