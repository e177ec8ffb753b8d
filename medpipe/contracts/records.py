"""Records that segments hold: what a case did, and the rows of its products.

Both are plain JSON values, small, and free of identities other than pseudonymous keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from medpipe.keys import digest

Status = Literal["done", "rejected", "failed"]
DeviceUse = Literal["", "whole", "blocks", "left"]
ProductKind = Literal["volume", "registrations", "regions", "features", "perturbed", "views", "scores"]

STORING: frozenset[ProductKind] = frozenset({"volume", "registrations", "views"})
"""Kinds whose rows may name folders of the lake that go with them (``store``, ``final_store``)."""

HAPPENED = (
    "run",
    "attempts",
    "tries",
    "conditions",
    "device",
    "made",
    "wall_s",
    "cpu_s",
    "peak_bytes",
    "projected_bytes",
)
"""Fields of a case's record that say what happened; its result is the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRecord:
    """The rows of one product, under the key of all they depend on.

    Attributes
    ----------
    key : str
        Product key: digest of upstream content, op chain, model and numeric class.
    kind : {"volume", "registrations", "regions", "features", "perturbed", "views", "scores"}
    rows : tuple of dict
        JSON values; NaN is null. No identity enters: they join when tables are built.
    code : str
        Why there are no rows, or not all, although the case went on; else an empty string.
    op : str
        Name of the op that the code is of, where it is one of several; no part of the result.
    """

    key: str
    kind: ProductKind
    rows: tuple[dict[str, Any], ...]
    code: str = ""
    op: str = ""

    @property
    def content_digest(self) -> str:
        """Digest of rows and code; equal keys must have equal digests."""
        return digest({"rows": list(self.rows), "code": self.code})

    @property
    def stored(self) -> set[str]:
        """Folders of the lake that go with the product."""
        if self.kind not in STORING:
            return set()
        found = {row.get(name) for row in self.rows for name in ("store", "final_store")}
        return {str(path) for path in found if path is not None}

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        value = {"record": "product", "key": self.key, "kind": self.kind, "rows": list(self.rows), "code": self.code}
        return {**value, "op": self.op} if self.op else value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ProductRecord:
        """Read what :meth:`to_json` wrote."""
        return cls(
            key=value["key"],
            kind=value["kind"],
            rows=tuple(value["rows"]),
            code=value["code"],
            op=value.get("op", ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRecord:
    """What became of one case.

    The fields up to ``products`` are the result and are the same whenever the case runs; the
    rest says what happened and enters no table but ``cases``.

    Attributes
    ----------
    case_key : str
        Identity of the work: volume, source version, route, models, numeric class.
    volume_key : str
    route : str
        Name of the route that took the volume.
    status : {"done", "rejected", "failed"}
    stage : str
        Where it ended: ``plan`` (refused before it ran), ``read``, ``store``, ``image``,
        ``registrations``, ``regions``, ``features``, ``perturbed``, ``views``, ``scores``, ``done``.
    code : str
        Reason code, or an empty string.
    content_digest : str
        Digest of the volume that was read, or an empty string if reading failed.
    companions_digest : str
        Digest of the companions' masks and names (also of none), or an empty string if nobody
        looked for them.
    source_version : str
        Digest of the source versions the content was read at.
    numeric_class : str
    products : tuple of str
        Keys of the products this case stands on, in order.
    run : str
        Id of the run that executed it.
    attempts : int
        Times it was started in that run; 0 if it was refused before.
    tries : int
        Runs in a row that ended it with a code that may pass, this one included.
    conditions : str
        Digest of the code, codecs and limits it ran under; a failure stands while they do.
    device : {"", "whole", "blocks", "left"}
        How a device was used: not at all; whole volumes stayed there; a part at a time was there; it had no memory for
        the case, which went to the CPU.
    made : dict
        Kind of product to how many this run computed; the others were there.
    wall_s, cpu_s : float
    peak_bytes, projected_bytes : int
    """

    case_key: str
    volume_key: str
    route: str
    status: Status
    stage: str
    code: str = ""
    content_digest: str = ""
    companions_digest: str = ""
    source_version: str = ""
    numeric_class: str = ""
    products: tuple[str, ...] = ()
    run: str = ""
    attempts: int = 1
    tries: int = 1
    conditions: str = ""
    device: DeviceUse = ""
    made: dict[str, int] = field(default_factory=dict)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0
    projected_bytes: int = 0

    @property
    def result_digest(self) -> str:
        """Digest of the result part; equal case keys must have equal digests."""
        # not asdict: it copies every value, and there are millions of records
        return digest({name: getattr(self, name) for name in self.__dataclass_fields__ if name not in HAPPENED})

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {"record": "case", **{name: getattr(self, name) for name in self.__dataclass_fields__}}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> CaseRecord:
        """Read what :meth:`to_json` wrote."""
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        fields["products"] = tuple(fields["products"])
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """A case's record with the products it computed anew."""

    case: CaseRecord
    products: tuple[ProductRecord, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {"case": self.case.to_json(), "products": [product.to_json() for product in self.products]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> CaseResult:
        """Read what :meth:`to_json` wrote."""
        return cls(
            case=CaseRecord.from_json(value["case"]),
            products=tuple(ProductRecord.from_json(product) for product in value["products"]),
        )
