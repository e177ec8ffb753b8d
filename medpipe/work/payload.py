"""What a case carries from the plan to the sandbox: sealed in the lake, never in a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from medpipe.contracts.records import ProductRecord
from medpipe.plan.cases import Case, Work
from medpipe.plan.fallback import Fallback
from medpipe.plan.products import Content
from medpipe.work.room import CaseOrder


def case_payload(case: Case, locator: Mapping[str, Any], committed: Sequence[ProductRecord]) -> dict[str, Any]:
    """Return a case as JSON values.

    Parameters
    ----------
    case : Case
    locator : mapping
        ``root`` (or ``roots``), ``stack`` and ``companions`` of the volume, and ``images`` with
        the same of its companion images by name, or the code why there is none; private.
    committed : sequence of ProductRecord
        Products of this volume that are committed, so that they are taken, not computed.
    """
    work = case.work
    assert work is not None, "only cases that are to run have a payload"
    return {
        "order": {
            "key": case.key,
            "volume_key": case.volume_key,
            "route": case.route,
            "source_version": case.source_version,
            "numeric_class": case.numeric_class,
            "projected_bytes": work.projected_bytes,
            "conditions": work.conditions,
            "tries": work.tries,
            **_of_device(work),
            "content": None if work.content is None else asdict(work.content),
            "committed": [product.to_json() for product in committed],
        },
        "locator": dict(locator),
    }


def order_of(payload: Mapping[str, Any], run: str) -> CaseOrder:
    """Return the order a payload holds."""
    order = dict(payload["order"])
    content, fallback = order.pop("content"), order.pop("fallback", None)
    committed = [ProductRecord.from_json(record) for record in order.pop("committed")]
    return CaseOrder(
        run=run,
        content=None if content is None else Content(**content | _tuples(content)),
        fallback=None if fallback is None else Fallback(**fallback),
        committed={record.key: record for record in committed},
        **order,
    )


def _of_device(work: Work) -> dict[str, Any]:
    """Return what a case needs to know that is to run on a device."""
    if not work.device.whole and work.fallback is None:
        return {}
    fallback = None if work.fallback is None else asdict(work.fallback)
    return {"device_bytes": work.device.whole, "fallback": fallback}


def _tuples(content: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    # JSON has lists only
    return {name: tuple(content.get(name, ())) for name in ("images", "region_suv")}
