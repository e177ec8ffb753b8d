"""What is committed: results by key, and which stored volumes are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from medpipe.contracts.records import CaseRecord, CaseResult, ProductRecord
from medpipe.errors import IntegrityError
from medpipe.keys import canonical
from medpipe.lake.lake import Lake


class _Read(NamedTuple):
    """What a case read, in the order in which one stands above another of the same files."""

    saw_companions: bool
    run: str
    content_digest: str
    companions_digest: str


class Committed:
    """Committed results by key; those of a range of volumes as :meth:`Results.load` gives them.

    Parameters
    ----------
    lake : Lake

    Notes
    -----
    Two cases of one key that are both ``done`` must be equal, and so must two products of one
    key. A case that was rejected or failed may end otherwise when it is tried again, so ``done``
    stands above the others, and among those the last run's (ids of runs sort by time): the
    order in which segments are read decides nothing. Where a volume that it stored is gone, and a later
    run could not make it again, what became of it there stands (:meth:`find_lost`).
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._cases: dict[str, CaseRecord] = {}
        # of cases that ended both as done and otherwise, the last record that does not stand
        self._otherwise: dict[str, CaseRecord] = {}
        self._products: dict[str, ProductRecord] = {}
        self._contents: dict[tuple[str, str], _Read] = {}
        self._by_volume: dict[str, set[str]] = {}
        self._lost: set[str] = set()

    def add(self, result: CaseResult) -> None:
        """Take a result that is, or is about to be, in a segment.

        Raises
        ------
        IntegrityError
            If its key has another result already.
        """
        for product in result.products:
            known = self._products.setdefault(product.key, product)
            if known is not product and known.content_digest != product.content_digest:
                raise _alarm("product", product.key)
            self._lost.discard(product.key)
        # of a case that did not come to its end, too: what it made need not be made again
        self._by_volume.setdefault(result.case.volume_key, set()).update(product.key for product in result.products)
        self._add_case(result.case)

    def case(self, case_key: str) -> CaseRecord | None:
        """Return what became of a case, or None."""
        return self._cases.get(case_key)

    def records(self, case_key: str) -> tuple[CaseRecord, ...]:
        """Return what became of a case, and how else it ended if it is done by one record and not by another."""
        found = (self._cases.get(case_key), self._otherwise.get(case_key))
        return tuple(one for one in found if one is not None)

    def cases(self) -> Iterator[CaseRecord]:
        """Yield every case, by key."""
        for case_key in sorted(self._cases):
            yield self._cases[case_key]

    def products(self) -> Iterator[ProductRecord]:
        """Yield every product, by key."""
        for key in sorted(self._products):
            yield self._products[key]

    def product(self, key: str) -> ProductRecord:
        """Return a committed product.

        Raises
        ------
        IntegrityError
            If it is not committed although a case stands on it.
        """
        found = self._products.get(key)
        if found is None:
            raise IntegrityError(f"product {key}: a case stands on it, but no segment holds it; run again")
        return found

    def has_product(self, key: str) -> bool:
        """Tell whether a product is committed, and nobody has removed the volume it stored."""
        return key in self._products and key not in self._lost

    def products_of(self, volume_key: str) -> frozenset[str]:
        """Return the keys of all products that cases of a volume stand on or have made."""
        return frozenset(self._by_volume.get(volume_key, ()))

    def content_of(self, volume_key: str, source_version: str) -> tuple[str, str] | None:
        """Return the digests (of the volume, of its companions) read at a source version, or None.

        The second is empty where no case has looked at the companions.
        """
        found = self._contents.get((volume_key, source_version))
        return None if found is None else (found.content_digest, found.companions_digest)

    def __len__(self) -> int:
        return len(self._cases)

    def find_lost(self) -> None:
        """Look which volumes that products stored are gone, by their folders: none is opened."""
        self._lost = {
            product.key for product in self._products.values() if not all(map(self._lake.store.exists, product.stored))
        }
        for key, otherwise in list(self._otherwise.items()):
            done = self._cases[key]
            if otherwise.run > done.run and not self._lost.isdisjoint(done.products):
                self._cases[key], self._otherwise[key] = otherwise, done

    def _add_case(self, case: CaseRecord) -> None:
        # A case that ended early may not have come to its companions, and not every route looks at them.
        if case.status == "done":
            place = case.volume_key, case.source_version
            read = _Read(bool(case.companions_digest), case.run, case.content_digest, case.companions_digest)
            self._contents[place] = max(read, self._contents.get(place, read))
        self._by_volume.setdefault(case.volume_key, set()).update(case.products)
        known = self._cases.setdefault(case.case_key, case)
        if known is case:
            return
        if known.status == case.status == "done" and known.result_digest != case.result_digest:
            raise _alarm("case", case.case_key)
        beaten, stands = sorted((known, case), key=_standing)
        self._cases[case.case_key] = stands
        if beaten.status != stands.status == "done":
            before = self._otherwise.get(case.case_key, beaten)
            self._otherwise[case.case_key] = max(beaten, before, key=_standing)


def _standing(case: CaseRecord) -> tuple[bool, str, int, str]:
    """Order the records of one case: the greatest stands, in whatever order they are read."""
    return case.status == "done", case.run, case.attempts, canonical(case.to_json())


def _alarm(kind: str, key: str) -> IntegrityError:
    return IntegrityError(
        f"{kind} {key}: computed twice with different results; the numbers are not reproducible here: report it"
    )
