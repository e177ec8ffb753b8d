"""What a case reads, each at most once, and the content that keys of its products are made of."""

from __future__ import annotations

from functools import cached_property

from medpipe.bits import Bits
from medpipe.errors import Rejected
from medpipe.keys import digest
from medpipe.ops.suv import Suv
from medpipe.plan.cases import PASSING
from medpipe.plan.products import Content, wanted_products
from medpipe.recipe.asked import asked_of_case
from medpipe.recipe.recipe import Route
from medpipe.types import Companions
from medpipe.work.content import companions_digest, volume_digest
from medpipe.work.images import CompanionImages
from medpipe.work.measure import mask_digest
from medpipe.work.room import CaseOrder, Reading, Room, Steps


class Inputs:
    """The volume and the companions of a case as they were read, on the host: the same wherever it is computed.

    Parameters
    ----------
    route : Route
    room : Room
    step : Steps
        Told of each step.
    """

    def __init__(self, route: Route, room: Room, step: Steps) -> None:
        self._route, self._room, self._step = route, room, step
        self._asked = asked_of_case(route)
        self._digests: dict[Bits, str] = {}

    @cached_property
    def reading(self) -> Reading:
        """The primary volume; raises ``Rejected``."""
        self._step("read")
        return self._room.read()

    @cached_property
    def companions(self) -> Companions | Rejected:
        """The companions, or why they cannot be used: a bad mask does not cost the case."""
        self._step("companions")
        try:
            return self._room.companions(self.reading.volume)
        except Rejected as rejected:
            if rejected.code in PASSING:
                raise  # it says nothing about the companion: the case is tried again
            return rejected.kept()

    def mask_digest(self, bits: Bits) -> str:
        """Return the digest of a mask: each is read once for the keys and for its row."""
        if bits not in self._digests:
            self._digests[bits] = mask_digest(bits)
        return self._digests[bits]

    def content(self, order: CaseOrder, images: CompanionImages) -> Content:
        """Return the content of what an order's case reads: what is known of it, where no voxel is needed.

        Raises
        ------
        Rejected
            If the volume cannot be read.
        """
        known = order.content
        if known is not None and self._only_scores_missing(order, known):
            return known
        uses_companions = any(op.uses_companions for op in self._route.regions)
        return Content(
            volume=volume_digest(
                self.reading.volume,
                quantization=self.reading.quantization,
                padding=self.reading.volume.padding if self._asked.padding else None,
                real_world=self.reading.volume.real_world,
                display=self.reading.volume.display,
                quantity=self._quantity,
                stored_reversed=self.reading.volume.stored_reversed and self._asked.file_order,
            ),
            companions=self._companions_digest() if uses_companions else "",
            numeric_class=order.numeric_class,
            suv=self._factors_digest(self._route.suv),
            region_suv=self._region_factors(),
            images=images.digests(self.reading.volume),
        )

    def _region_factors(self) -> tuple[str, ...]:
        found = tuple(self._factors_digest(getattr(op, "suv", None)) for op in self._route.regions)
        return found if any(found) else ()

    def _factors_digest(self, op: Suv | None) -> str:
        return "" if op is None else digest(op.found(self.reading.volume))

    def _companions_digest(self) -> str:
        # what no rule asks for changes no key
        with_concepts = any(getattr(op, "uses_concepts", False) for op in self._route.regions)
        return companions_digest(self.companions, self.mask_digest, with_concepts=with_concepts)

    @property
    def _quantity(self) -> str:
        """What the values measure, where an op of the route asks: as they were read, or as the route makes them."""
        if not self._asked.quantity:
            return ""
        return self.reading.volume.quantity or ("UPTAKE" if self._route.suv is not None else "")

    def _only_scores_missing(self, order: CaseOrder, known: Content) -> bool:
        """Tell whether no voxel is needed; otherwise what is read is trusted, not the hint."""
        wanted = wanted_products(self._room.lock, self._route, known)
        return all(one.kind == "scores" or one.key in order.committed for one in wanted)
