"""How the images of one stack were reconstructed: what one may be chosen by before another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, TypeVar

from medpipe.archive.alike import counted
from medpipe.archive.header import Header
from medpipe.archive.kernels import kernel_class
from medpipe.archive.series import manufacturer

Said = TypeVar("Said", bound=Hashable)


def reconstruction_facts(headers: Sequence[Header]) -> dict[str, Any]:
    """Return what the headers of one stack say, as columns of the table ``volumes``.

    Where they differ the commonest value counts; ties go to the smallest.

    Parameters
    ----------
    headers : sequence of Header
        Of the files of the stack.

    Returns
    -------
    dict
        ``thickness_mm``, ``kernel_class`` and ``derived`` as in
        :data:`medpipe.contracts.tables.VOLUMES`.
    """
    counts = counted(headers)
    planes = ((plane, count) for header, count in counts for plane in (header.frames or (header.top,)))
    types = ((header.top.image_type[0].upper(), count) for header, count in counts if header.top.image_type)
    kernels = [
        ((str(header.facts.get("kernel", "")), str(header.facts.get("manufacturer", ""))), count)
        for header, count in counts
    ]
    said, maker = _commonest(kernels) or ("", "")
    origin = _commonest((one, count) for one, count in types if one in ("ORIGINAL", "DERIVED"))
    return {
        "thickness_mm": _commonest((plane.thickness_mm, n) for plane, n in planes if (plane.thickness_mm or 0) > 0),
        "kernel_class": kernel_class(said, manufacturer(maker)) if said else None,
        "derived": None if origin is None else origin == "DERIVED",
    }


def _commonest(values: Iterable[tuple[Said, int]]) -> Said | None:
    counts: Counter[Said] = Counter()
    for value, count in values:
        counts[value] += count
    # numbers and texts, never both: all can be put in an order
    return min(counts, key=lambda one: (-counts[one], one)) if counts else None
