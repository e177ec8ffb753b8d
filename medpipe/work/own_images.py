"""The images that a case makes of its own volume: as it was read, and after the ops of its route."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial

from medpipe.bits import Bits
from medpipe.contracts.protocols import Carrier, ImageOp
from medpipe.errors import Rejected
from medpipe.lake.scratch import Spool
from medpipe.recipe.recipe import Route
from medpipe.types import Array, Region, Volume
from medpipe.work.inputs import Inputs
from medpipe.work.places import Place
from medpipe.work.room import Room, Steps


class OwnImages:
    """The original and the final image of a case at one place, each made at most once.

    Parameters
    ----------
    route : Route
    room : Room
    step : Steps
        Told of each step.
    inputs : Inputs
    place : Place
        Where their voxels are between steps.
    """

    def __init__(self, route: Route, room: Room, step: Steps, inputs: Inputs, place: Place) -> None:
        self._route, self._room, self._step, self._inputs, self._place = route, room, step, inputs, place
        self._carriers: list[Callable[[Array], Array]] = []

    @cached_property
    def original(self) -> Volume:
        """The volume where the case's voxels are held."""
        return self._place.held(self._inputs.reading.volume)

    @cached_property
    def final(self) -> Volume | Rejected:
        """The volume after the route's image ops, or why there is none."""
        self._step("image")
        try:
            return self._filtered()
        except Rejected as rejected:
            return rejected.kept()

    def on_final(self, region: Region) -> Region:
        """Return a region where the image ops moved it, once there is a final image."""
        if not self._carriers:
            return region
        mask = region.mask
        for carry in self._carriers:
            mask = carry(mask)
        return replace(region, bits=Bits.of(mask))

    def _filtered(self) -> Volume:
        self._carriers.clear()
        read = self._inputs.reading.volume
        if isinstance(read.data, Spool):
            return self._place.spooled(self._route.image, read, self._room.spool(read.data.shape))
        return self._place.worked(self._route.image, self.original, seen=self._remember)

    def _remember(self, op: ImageOp, volume: Volume) -> None:
        if isinstance(op, Carrier):
            self._carriers.append(partial(op.carry, volume=volume))
