"""One case: read once, store, filter, find regions, measure, score.

Pure wiring. What is committed already under its product key is taken, not computed; the
voxels stay in memory from the decoder to the last feature. A case that a device has no memory for
goes on with parts of its volume there, and then, if it may, on the CPU.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from medpipe.contracts.images import ViewFile
from medpipe.contracts.records import CaseRecord, CaseResult, ProductKind, ProductRecord
from medpipe.errors import Rejected
from medpipe.plan.fallback import NO_ROOM, ON_CPU, Fallback
from medpipe.plan.products import Content, Wanted, wanted_products
from medpipe.recipe.companion import FINAL, ORIGINAL, Shown
from medpipe.recipe.recipe import Extraction
from medpipe.types import Companions, Region, Volume
from medpipe.work.images import CompanionImages
from medpipe.work.inputs import Inputs
from medpipe.work.ladder import End, device_used, first_place, on_the_cpu
from medpipe.work.measure import feature_row, region_row, unmeasured_row
from medpipe.work.own_images import OwnImages
from medpipe.work.perturbed import perturbed_rows
from medpipe.work.places import InBlocks, Place, Whole
from medpipe.work.room import CaseOrder, Mark, Room, Steps
from medpipe.work.scored import scored
from medpipe.work.seen import said_of, view_record
from medpipe.xp import DeviceMemoryError, free_device_memory, with_device_memory


def run_case(order: CaseOrder, room: Room, mark: Mark) -> CaseResult:
    """Run one case and return its record with the products it computed.

    Data that cannot be used ends the case as ``rejected`` with its code, a device without memory for it
    as ``failed``; anything else that is raised is a bug or a stop, and goes through to the sandbox's boundary.
    """
    started, cpu_started = time.perf_counter(), time.process_time()
    work = _Work(order=order, room=room, step=Steps(mark, order.volume_key), place=first_place(order, room))
    end = work.ended()
    if end.code == NO_ROOM and order.fallback is not None:
        work = work.on_the_cpu(order.fallback)
        free_device_memory()
        end = work.ended()
    # what the CPU computed stands beside the device's own result, never for it
    is_aside = end.status == "done" and work.order.key != order.key
    record = CaseRecord(
        case_key=work.order.key if is_aside else order.key,
        volume_key=order.volume_key,
        route=order.route,
        status=end.status,
        stage=work.step.stage,
        code=ON_CPU if is_aside else end.code,
        content_digest=end.content.volume if end.content else "",
        companions_digest=end.content.companions if end.content else "",
        source_version=order.source_version,
        numeric_class=work.order.numeric_class,
        products=end.products,
        run=order.run,
        tries=order.tries,
        conditions=order.conditions,
        device=device_used(order, work.order, work.place),
        made=dict(Counter(product.kind for product in work.fresh)),
        wall_s=time.perf_counter() - started,
        cpu_s=time.process_time() - cpu_started,
        projected_bytes=order.projected_bytes,
    )
    return CaseResult(case=record, products=tuple(work.fresh))


class _Work:
    """The state of a case while it runs: what was read and made so far, each at most once."""

    def __init__(
        self, *, order: CaseOrder, room: Room, step: Steps, place: Place, inputs: Inputs | None = None
    ) -> None:
        self.order, self.room, self.step, self.place = order, room, step, place
        self.route = room.lock.recipe.route(order.route)
        self.inputs = Inputs(self.route, room, step) if inputs is None else inputs
        self.fresh: list[ProductRecord] = []
        self._rows: dict[str, ProductRecord] = {}
        self._regions: dict[int, tuple[Region, ...]] = {}
        self._own = OwnImages(self.route, room, step, self.inputs, place)
        self._images = CompanionImages(self.route, room, step, place)

    def ended(self) -> End:
        """Run the case to its end here."""
        try:
            content = self.content
            keys = self.produce(content)
            self.step("done")
        except Rejected as rejected:
            return End(status="rejected", code=rejected.code)
        except DeviceMemoryError:
            return End(status="failed", code=NO_ROOM)
        return End(status="done", content=content, products=keys)

    def on_the_cpu(self, fallback: Fallback) -> _Work:
        """Return the same case on the CPU, with what was read for it and what the device has made."""
        order = on_the_cpu(self.order, fallback, made=self.fresh)
        work = _Work(order=order, room=self.room, step=self.step, place=Whole("cpu"), inputs=self.inputs)
        work.fresh = self.fresh
        return work

    def _go_in_blocks(self) -> None:
        """Let the device have parts of volumes from now on; regions and rows that were made are the same."""
        self.place = InBlocks(self.place.device)
        self._own = OwnImages(self.route, self.room, self.step, self.inputs, self.place)
        self._images = self._images.at(self.place)
        free_device_memory()

    @cached_property
    def content(self) -> Content:
        return self.inputs.content(self.order, self._images)

    # products -------------------------------------------------------------------------------

    def produce(self, content: Content) -> tuple[str, ...]:
        """Compute what is missing; return the keys of all products in order."""
        makers: dict[ProductKind, Callable[[Wanted], ProductRecord]] = {
            "volume": self._volume,
            "registrations": self._register,
            "regions": self._find_regions,
            "features": self._measure,
            "perturbed": self._measure_perturbed,
            "views": self._see,
            "scores": self._score,
        }
        wanted = wanted_products(self.room.lock, self.route, content)
        self._wanted = wanted
        for one in wanted:
            record = self.order.committed.get(one.key)
            if record is None:
                record = self._made(partial(makers[one.kind], one))
                self.fresh.append(record)
            self._rows[one.key] = record
        return tuple(one.key for one in wanted)

    def _made(self, step: Callable[[], ProductRecord]) -> ProductRecord:
        """Return what a step makes, in blocks from the first one on that the device has no memory for."""
        if self.place.way == "whole":
            try:
                return with_device_memory(step)
            except DeviceMemoryError:
                self._go_in_blocks()
        return with_device_memory(step)

    def _volume(self, one: Wanted) -> ProductRecord:
        final = self._own.final if FINAL in self.route.keep and self.route.image else None
        self.step("store")
        kept = None if isinstance(final, Rejected) else final
        row = self.room.store(one.key, self.inputs.reading, kept, self.content.volume)
        code, op = (final.code, final.op) if isinstance(final, Rejected) else (said_of(final), "")
        return ProductRecord(key=one.key, kind="volume", rows=(row,), code=code, op=op)

    def _register(self, one: Wanted) -> ProductRecord:
        self.step("registrations")
        row = self._images.row(one.companion, self.inputs.reading.volume, one.key)
        fused = self._images.aligned(row["companion"], self.inputs.reading.volume) if row["store"] else None
        return ProductRecord(key=one.key, kind="registrations", rows=(row,), code=row["code"] or said_of(fused))

    def _see(self, one: Wanted) -> ProductRecord:
        assert one.view is not None
        record = view_record(one.key, one.view, self._shown, partial(self.room.store_files, one.key))
        return record if record.code else replace(record, code=said_of(self._image(one.view.image)))

    def _shown(self, view: Shown) -> Iterable[ViewFile]:
        image = self._image(view.image)
        regions = self._found_regions() if view.op.uses_regions else ()
        self.step("views")
        return view.op(self.place.lent(image), regions)

    def _image(self, name: str) -> Volume:
        """Return an image by the name a recipe gives it; raises ``Rejected`` if there is none."""
        if name == ORIGINAL:
            return self._own.original
        image = self._own.final if name == FINAL else self._images.aligned(name, self.inputs.reading.volume)
        if isinstance(image, Rejected):
            raise image.kept()
        return image

    def _found_regions(self) -> tuple[Region, ...]:
        """Return the regions of all sources that give any; what the others say is in their own records."""
        found: list[Region] = []
        for place in range(len(self.route.regions)):
            with suppress(Rejected):
                found += self._regions_of(place)
        return tuple(found)

    def _regions_of(self, place: int) -> tuple[Region, ...]:
        """Return the regions of a source; raises ``Rejected`` if it cannot give any."""
        if place not in self._regions:
            op = self.route.regions[place]
            companions = Companions()
            if op.uses_companions:
                if isinstance(self.inputs.companions, Rejected):
                    raise self.inputs.companions.kept()
                companions = self.inputs.companions
            looked_at = self._image(getattr(op, "image", "") or ORIGINAL)
            self.step("regions")
            self._regions[place] = op(self.place.lent(looked_at), companions)
        return self._regions[place]

    def _find_regions(self, one: Wanted) -> ProductRecord:
        try:
            regions = self._regions_of(one.region_source)
        except Rejected as rejected:
            named = rejected.op or self.route.regions[one.region_source].name
            return ProductRecord(key=one.key, kind="regions", rows=(), code=rejected.code, op=named)
        geometry = self._own.original.geometry
        rows = tuple(region_row(one, geometry, digest=self.inputs.mask_digest(one.bits)) for one in regions)
        return ProductRecord(key=one.key, kind="regions", rows=rows, code=self._problem(one.region_source))

    def _problem(self, place: int) -> str:
        """Return the code of the first companion a source could not use, or an empty string."""
        if not self.route.regions[place].uses_companions or isinstance(self.inputs.companions, Rejected):
            return ""
        return min(self.inputs.companions.problems, default="")

    def _measure(self, one: Wanted) -> ProductRecord:
        return self._measured_by(
            one, lambda extraction, image, regions: [self._measured(extraction, image, region) for region in regions]
        )

    def _measure_perturbed(self, one: Wanted) -> ProductRecord:
        perturbation = one.perturbation
        assert perturbation is not None

        def rows(extraction: Extraction, image: Volume, regions: tuple[Region, ...]) -> Iterable[dict[str, Any]]:
            return perturbed_rows(
                perturbation,
                image,
                regions,
                content=self.content.volume,
                extractor=extraction.op,
                measure=partial(self._measured, extraction),
            )

        return self._measured_by(one, rows)

    def _measured_by(
        self, one: Wanted, rows: Callable[[Extraction, Volume, tuple[Region, ...]], Iterable[dict[str, Any]]]
    ) -> ProductRecord:
        """Return the record of the rows that are made of an extraction's image and the regions on it."""
        extraction = one.extraction
        assert extraction is not None
        try:
            regions = self._regions_of(one.region_source)
        except Rejected:
            return ProductRecord(key=one.key, kind=one.kind, rows=())  # the regions' record says why
        try:
            image, regions = self._on_image(extraction, regions)
        except Rejected as rejected:
            return ProductRecord(key=one.key, kind=one.kind, rows=(), code=rejected.code, op=rejected.op)
        self.step(one.kind)
        image = self.place.lent(image)
        return ProductRecord(key=one.key, kind=one.kind, rows=tuple(rows(extraction, image, regions)))

    def _on_image(self, extraction: Extraction, regions: tuple[Region, ...]) -> tuple[Volume, tuple[Region, ...]]:
        """Return an extraction's image, and regions where they lie on it; raises ``Rejected`` if there is none."""
        if extraction.beside is not None:
            return self._images.measured(extraction, self.inputs.reading.volume, regions)
        image = self._image(extraction.image)
        if extraction.image == FINAL:
            regions = tuple(self._own.on_final(region) for region in regions)
            # what a header calls padding are values as they were read
            image = replace(image, padding=None)
        return image, regions

    @staticmethod
    def _measured(extraction: Extraction, image: Volume, region: Region) -> dict[str, Any]:
        if region.code:
            return unmeasured_row(extraction.op, region, region.code)
        try:
            return feature_row(extraction.op, image, region)
        except Rejected as rejected:
            return unmeasured_row(extraction.op, region, rejected.code)

    def _score(self, one: Wanted) -> ProductRecord:
        assert one.model is not None
        self.step("scores")
        rows = scored(self.room.scorer(one.model.digest), self._wanted, self._rows, self.route)
        return ProductRecord(key=one.key, kind="scores", rows=rows)
