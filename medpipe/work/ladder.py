"""How far down a case goes that a device has no memory for: whole, in blocks, on the CPU.

Whole and in blocks are the same bytes under the same keys. On the CPU the numbers are of another class, and so
are the keys of products and case; it needs the permission of the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from medpipe.contracts.records import DeviceUse, ProductRecord, Status
from medpipe.plan.fallback import Fallback
from medpipe.plan.products import Content
from medpipe.work.places import InBlocks, Place, Whole
from medpipe.work.room import CaseOrder, Room


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a case ended at one place.

    Attributes
    ----------
    status : {"done", "rejected", "failed"}
    code : str
    content : Content or None
        What was read; None if the case was not done.
    products : tuple of str
        Keys of what it stands on.
    """

    status: Status
    code: str = ""
    content: Content | None = None
    products: tuple[str, ...] = ()


def first_place(order: CaseOrder, room: Room) -> Place:
    """Return where a case begins: in blocks, if the device has less than the whole is projected to need."""
    if room.device == "cuda" and room.device_bytes is not None and order.device_bytes > room.device_bytes:
        return InBlocks(room.device)
    return Whole(room.device)


def on_the_cpu(order: CaseOrder, fallback: Fallback, *, made: Iterable[ProductRecord]) -> CaseOrder:
    """Return the order of a case for the CPU; what was made before counts where it is of no class."""
    content = order.content
    return replace(
        order,
        key=fallback.key,
        numeric_class=fallback.numeric_class,
        content=None if content is None else replace(content, numeric_class=fallback.numeric_class),
        committed={**order.committed, **{product.key: product for product in made}},
    )


def device_used(given: CaseOrder, last: CaseOrder, place: Place) -> DeviceUse:
    """Return what a case's record says of the device; nothing where none was to be used."""
    if last.key != given.key:
        return "left"
    return "" if place.device == "cpu" else place.way
