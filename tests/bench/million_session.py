"""A session whose cases do next to nothing, so that what remains is the cost of having cases."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medpipe.contracts.records import CaseRecord, CaseResult, ProductRecord
from medpipe.keys import digest
from medpipe.lake.lake import Lake
from medpipe.lake.runs import Run
from medpipe.plan.products import Content, Products, Wanted
from medpipe.privacy.secret import load_secret
from medpipe.recipe.lock import read_lock
from medpipe.work.payload import order_of
from medpipe.work.room import CaseOrder, Mark


def open_session(init: Mapping[str, Any]) -> TrivialSession:
    """Open the session of a run; as :func:`medpipe.work.session.open_session`."""
    lake = Lake.open(Path(init["lake"]), secret=load_secret(Path(init["key_file"])))
    return TrivialSession(Run(lake, init["run"]))


class TrivialSession:
    """Reads plan and payload as real cases do, and makes up the numbers from the volume's key."""

    def __init__(self, run: Run) -> None:
        self._run = run
        lock = read_lock(run.lock())
        self._products = {route.name: Products(lock, route) for route in lock.recipe.routes}
        self._shard: tuple[int, list[dict[str, Any]]] = (-1, [])

    def call(self, kind: str, payload: dict[str, Any], mark: Mark) -> dict[str, Any]:
        """Return the result of a case."""
        assert kind == "case"
        if self._shard[0] != payload["shard"]:
            self._shard = (payload["shard"], self._run.shard_payloads(payload["shard"]))
        order = order_of(self._shard[1][payload["row"]], self._run.name)
        mark("read", order.volume_key)
        content = Content(volume=digest(order.volume_key), companions="", numeric_class=order.numeric_class)
        wanted = self._products[order.route].wanted(content)
        fresh = tuple(_product(one, order) for one in wanted if one.key not in order.committed)
        record = CaseRecord(
            case_key=order.key,
            volume_key=order.volume_key,
            route=order.route,
            status="done",
            stage="done",
            content_digest=content.volume,
            source_version=order.source_version,
            numeric_class=order.numeric_class,
            products=tuple(one.key for one in wanted),
            run=order.run,
            conditions=order.conditions,
            tries=order.tries,
            projected_bytes=order.projected_bytes,
        )
        return CaseResult(case=record, products=fresh).to_json()


def _product(one: Wanted, order: CaseOrder) -> ProductRecord:
    return ProductRecord(key=one.key, kind=one.kind, rows=tuple(_rows(one, order)))


def _rows(one: Wanted, order: CaseOrder) -> list[dict[str, Any]]:
    if one.kind == "volume":
        shape = {"dtype": "int16", "shape": [1, 4, 4], "axes": "zyx", "unit": "HU"}
        return [{**shape, "store": None, "final_store": None, "content_digest": digest(order.volume_key)}]
    if one.kind == "regions":
        size = {"n_voxels": 16, "volume_mm3": 16.0, "touches_border": True}
        return [{"name": "body", "label": 1, "source": "op", **size, "mask_digest": one.key}]
    assert one.extraction is not None
    names = [column.name for column in one.extraction.op.columns]
    noise = b"".join(hashlib.sha256(f"{one.key}{block}".encode()).digest() for block in range(len(names) // 4 + 1))
    values = [number / 2**64 for number in struct.unpack_from(f"<{len(names)}Q", noise)]
    row = {"region": "body", "label": 1, "source": "op", "status": "ok", "code": None}
    return [{**row, "values": dict(zip(names, values, strict=True))}]
