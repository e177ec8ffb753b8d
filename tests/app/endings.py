"""Archives that ran, made up in memory: index rows, plans and results of ranges, without a file."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from medpipe.app.index import Index
from medpipe.app.publish import Ending, RangeEnding
from medpipe.contracts.records import CaseRecord, CaseResult, ProductRecord
from medpipe.keys import digest
from medpipe.lake.committed import Committed
from medpipe.plan.cases import Planner, Terms
from medpipe.plan.products import Content, wanted_products
from medpipe.ranges import Range
from tests.plan.planning import locked

CLASS = "cpu-x86-64-v3"


@dataclass
class Archive:
    """Volumes by number, each with what was read there, or the code of why it could not be.

    ``flags`` are verdict and code of those that are not regular.
    """

    lake: object
    contents: dict[int, str] = field(default_factory=dict)
    flags: dict[int, tuple[str, str]] = field(default_factory=dict)
    lock: object = field(default_factory=locked)
    files: int = 3
    run: str = "20260101T000000000-aaaa"
    loaded: list[int] = field(default_factory=list)

    def ending(self, bits: int) -> Ending:
        return Ending(bits=bits, state=self.state, load=self.load)

    def state(self, one: Range) -> str:
        inside = sorted((number, content) for number, content in self.contents.items() if series_key(number) in one)
        return digest([inside, sorted(self.flags.items()), self.lock.digest])

    def load(self, one: Range) -> RangeEnding:
        self.loaded.append(one.number)
        index, committed = Index(), Committed(self.lake)
        for number in random.sample(sorted(self.contents), len(self.contents)):
            if series_key(number) in one:
                self._add_rows(index, number)
        planner = Planner(self.lock, Terms(numeric_class=CLASS))
        plan = planner.plan(index.volumes, index.versions, committed)
        by_volume = {volume_key(number): content for number, content in self.contents.items()}
        for case in plan.cases:
            committed.add(self._result(case, by_volume[case.volume_key]))
        return RangeEnding(index=index, plan=plan, committed=committed)

    def _add_rows(self, index, number):
        place = {"series_key": series_key(number), "modality": ("CT", "PT", "MR")[number % 3]}
        verdict, code = self.flags.get(number, ("regular", None))
        volume = {
            **place,
            "volume_key": volume_key(number),
            "kind": "volume",
            "body_part": None,
            "route": None,
            "shape": [20, 64, 64],
            "axes": "zyx",
            "spacing_mm": [2.0, 1.0, 1.0],
            "affine_lps": None,
            "slice_positions_mm": None,
            "verdict": verdict,
            "code": code,
        }
        del volume["body_part"]
        index.volumes.append(volume)
        index.versions[volume["volume_key"]] = self.contents[number]
        index.series.append({**place, "study_key": "s", "patient_key": "p"})
        for frame in range(self.files):
            key = digest(["instance", number, frame])[:32]
            index.instances.append({**place, "instance_key": key, "outcome": "used", "code": None})
            index.members.append({"instance_key": key, "frame": 0, "volume_key": volume["volume_key"], "index": frame})

    def _result(self, case, content):
        shared = {
            "case_key": case.key,
            "volume_key": case.volume_key,
            "route": case.route,
            "source_version": case.source_version,
            "numeric_class": CLASS,
            "run": self.run,
        }
        if content.startswith("E_"):
            return CaseResult(case=CaseRecord(**shared, status="rejected", stage="read", code=content))
        route = self.lock.recipe.route(case.route)
        read = Content(volume=digest([case.volume_key, content]), companions="", numeric_class=CLASS)
        products = tuple(self._product(wanted, read.volume) for wanted in wanted_products(self.lock, route, read))
        keys = tuple(product.key for product in products)
        record = CaseRecord(
            **shared, status="done", stage="done", content_digest=read.volume, products=keys, made={"volume": 1}
        )
        return CaseResult(case=record, products=products)

    def _product(self, wanted, content):
        return ProductRecord(key=wanted.key, kind=wanted.kind, rows=tuple(rows_of(wanted, content)))


def rows_of(wanted, content):
    """Return the rows of a product, with values that depend on the content alone."""
    source = ("body", "seg")[max(wanted.region_source, 0)]
    if wanted.kind == "volume":
        return [{"store": f"objects/{content[:2]}/{content}", "content_digest": content, "dtype": "int16"}]
    if wanted.kind == "regions":
        return [{"name": source, "label": 1, "source": source, "n_voxels": 9, "mask_digest": content}]
    if wanted.kind == "features":
        made = random.Random(wanted.key)
        values = {column.name: made.random() for column in wanted.extraction.op.columns}
        return [{"region": source, "label": 1, "source": source, "status": "ok", "code": None, "values": values}]
    score = {"model": wanted.model.name, "model_digest": wanted.model.digest, "target": "kind", "class": "bad"}
    return [{"region": "body", "label": 1, **score, "value": 0.5, "lower": None, "upper": None, "status": "ok"}]


def series_key(number):
    return digest(["series", number])[:32]


def volume_key(number):
    return series_key(number)[:4] + digest(["volume", number])[4:32]
