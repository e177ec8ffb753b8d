"""Cases that ended, with the products their rows are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from medpipe.contracts.records import CaseRecord, ProductKind, ProductRecord
from medpipe.errors import IntegrityError
from medpipe.plan.cases import Case
from medpipe.plan.products import Content, Wanted, wanted_products
from medpipe.recipe.lock import LockedRecipe
from medpipe.recipe.recipe import Extraction

Row = dict[str, Any]


class Records(Protocol):
    """Committed records by key."""

    def case(self, case_key: str) -> CaseRecord | None:
        """Return the terminal record of a case, or None."""

    def product(self, key: str) -> ProductRecord:
        """Return a committed product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A case that ended, with its products beside what they are for.

    Attributes
    ----------
    case : Case
    record : CaseRecord
    modality : str or None
        Of its volume.
    products : tuple of (Wanted, ProductRecord)
        None where the case was rejected or failed. The keys of the first are not filled in.
    flags : tuple of str
        Reasons that are true of its volume.
    """

    case: Case
    record: CaseRecord
    modality: str | None
    products: tuple[tuple[Wanted, ProductRecord], ...]
    flags: tuple[str, ...] = ()

    @property
    def identity(self) -> Row:
        """The columns that place a row."""
        return {"series_key": self.case.series_key, "volume_key": self.case.volume_key, "modality": self.modality}

    def of_kind(self, kind: ProductKind) -> Iterator[tuple[Wanted, ProductRecord]]:
        """Yield the products of a kind."""
        return ((wanted, product) for wanted, product in self.products if wanted.kind == kind)


class Shapes:
    """What a locked recipe's cases stand on, route by route, worked out once.

    Parameters
    ----------
    lock : LockedRecipe
    """

    def __init__(self, lock: LockedRecipe) -> None:
        self.lock = lock
        self._digests = {
            (route.name, extraction.name): route.extraction_digest(extraction)
            for route in lock.recipe.routes
            for extraction in route.features
        }

    @cached_property
    def _wanted(self) -> dict[str, tuple[Wanted, ...]]:
        nothing = Content(volume="", companions="", numeric_class="")
        return {route.name: wanted_products(self.lock, route, nothing) for route in self.lock.recipe.routes}

    def extraction_digest(self, route: str, extraction: Extraction) -> str:
        """Return the digest a model pins its inputs by."""
        return self._digests[route, extraction.name]

    def ended(self, case: Case, records: Records, *, modality: str | None, flags: Sequence[str] = ()) -> Ended:
        """Return a case with its products.

        Raises
        ------
        IntegrityError
            If the case has no outcome, or stands on other products than its route makes.
        """
        record = records.case(case.key)
        if record is None:
            raise IntegrityError(f"case {case.key}: it has no outcome to make rows of; run again")
        if record.status != "done":
            return Ended(case=case, record=record, modality=modality, products=())
        # a record names its products in the order its route wants them: no key need be made again
        wanted = self._wanted[case.route]
        products = tuple(records.product(key) for key in record.products)
        if [one.kind for one in wanted] != [product.kind for product in products]:
            raise IntegrityError(
                f"case {case.key}: it stands on other products than route {case.route} makes; report it"
            )
        ended = tuple(zip(wanted, products, strict=True))
        return Ended(case=case, record=record, modality=modality, products=ended, flags=tuple(flags))
