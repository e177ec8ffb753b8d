"""Views of a case: their files stored, and a row for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from medpipe.contracts.images import ViewFile
from medpipe.contracts.records import ProductRecord
from medpipe.errors import Rejected
from medpipe.keys import bytes_digest, finite_or_none
from medpipe.recipe.companion import Shown
from medpipe.types import Volume

_FACTS = (
    "width",
    "height",
    "pixel_mm",
    "low",
    "high",
    "n_vertices",
    "n_triangles",
    "volume_mm3",
    "area_mm2",
)
"""What the table ``views`` tells of a file."""


def view_record(
    key: str,
    view: Shown,
    show: Callable[[Shown], Iterable[ViewFile]],
    store: Callable[[Iterable[tuple[str, bytes]]], str],
) -> ProductRecord:
    """Return the product of a view: a row for each of its files, or one that says why there are none.

    Parameters
    ----------
    key : str
        Of the product.
    view : Shown
    show : callable
        Makes the files; raises ``Rejected``. They are let go one by one: surfaces of many regions are
        more than memory is planned for.
    store : callable
        Stores files, as names and bytes, and returns the path of their folder.
    """
    rows: list[dict[str, Any]] = []

    def each() -> Iterator[tuple[str, bytes]]:
        for one in show(view):
            rows.append({**_place(view), **_region(one), "code": None, **_facts(one)})
            yield one.name, one.data

    try:
        folder = store(each())
    except Rejected as rejected:
        unseen = {**_place(view), "code": rejected.code, "store": None}
        return ProductRecord(key=key, kind="views", rows=(unseen,), code=rejected.code, op=rejected.op)
    return ProductRecord(key=key, kind="views", rows=tuple({**row, "store": folder} for row in rows))


def said_of(image: Volume | None) -> str:
    """Return the code of what is to be known of a stored or shown image, or an empty string."""
    return "W_SYNTHETIC" if image is not None and image.synthetic else ""


def _place(view: Shown) -> dict[str, Any]:
    return {"view": view.name, "op": view.op.name, "image": view.image}


def _region(one: ViewFile) -> dict[str, Any]:
    if one.region is None:
        return {}
    return {"region": one.region.name, "label": one.region.label, "source": one.region.source}


def _facts(one: ViewFile) -> dict[str, Any]:
    told = {name: one.facts.get(name) for name in _FACTS}
    facts = {name: finite_or_none(value) if isinstance(value, float) else value for name, value in told.items()}
    return {"file": one.name, "bytes": len(one.data), "sha256": bytes_digest(one.data), **facts}
