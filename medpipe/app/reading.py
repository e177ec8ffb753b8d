"""Reading headers and digests for a scan, in sandboxes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

from medpipe.app.site import Site
from medpipe.archive.alike import Hearer
from medpipe.archive.encoding import path_order
from medpipe.archive.facts import KINDS
from medpipe.archive.frames import check_plane
from medpipe.archive.header import Header
from medpipe.contracts.protocols import Item
from medpipe.engine.pool import SandboxPool
from medpipe.engine.replies import Death
from medpipe.engine.sandbox import SandboxSpec
from medpipe.keys import bytes_digest
from medpipe.reasons import REASONS
from medpipe.work.scan_session import QUICK

Asked = tuple[Item, Header | None]
"""An item, and its header if it was read before."""

BATCH, LARGE_BATCH = 64, 256
"""Items of a call; headers of a large scan."""
_MOST_COUNTED = 1 << 62
MANY = 2000
"""Files for which the quick reader is loaded before the sandboxes start."""
HEADER_S = 20.0
WHOLE_S = 60.0
PIXELS_S = 60.0
LISTING_S = 900.0
"""Seconds to list an archive file; a compressed tar is read to its end for that."""

HEADERS_VERSION = 5
"""Raised when a header is read otherwise: then all files are read again."""

ADDRESS_BYTES = 8 << 30
"""Address space of a sandbox that parses headers: a bomb ends it, not the host."""


class Look(NamedTuple):
    """A digest, or the code why there is none."""

    digest: str
    code: str


class Reader:
    """Sandboxes below the root of a source; they start when something has to be read.

    Parameters
    ----------
    root : Path
    site : Site
    identify : callable, optional
        Gives headers of files that hold no identifiers those of their place.
    """

    def __init__(self, root: Path, site: Site, identify: Callable[[Header], Header] = lambda header: header) -> None:
        self._identify = identify
        self._batch = BATCH
        spec = SandboxSpec(
            session="medpipe.work.scan_session:open_scan",
            init={"root": os.fspath(root), "file_bytes": site.limits.file_mb << 20},
            address_space_bytes=ADDRESS_BYTES,
        )
        self._pool = SandboxPool(spec, size=site.workers or os.cpu_count() or 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def expect(self, files: int) -> None:
        """Say how many headers will be asked for, before the first."""
        if files >= MANY:
            self._pool.preload([QUICK])
            self._batch = LARGE_BATCH

    def headers(self, items: Iterable[Asked]) -> Iterator[Header]:
        """Yield the header of each item, in order.

        What must not be opened is not, nor what comes with the header that was read before.
        """
        under_way: deque[list[Asked]] = deque()
        results = self._pool.map_batches(
            "headers", self._asked(items, under_way), item_s=HEADER_S, subject=lambda item: str(item["token"])
        )
        # of this call alone: members of an archive file are asked for while it waits
        hearer = Hearer(_checked)
        for found in results:
            hearer.forget()
            yield from self._headers(under_way.popleft(), found, hearer)

    def members(self, path: str) -> tuple[list[Item], str]:
        """Return what an archive file holds, in order, and the code why that may not be all."""
        asked = {"token": bytes_digest(path.encode()), "path": path}
        results = self._pool.map_batches(
            "members", [[asked]], item_s=LISTING_S, subject=lambda item: str(item["token"])
        )
        ((found,),) = results
        if isinstance(found, Death):
            return [], _code_of(found)
        items = [
            Item(path=path, size=size, version=version, problem=problem)
            for path, size, version, problem in found["members"]
        ]
        # what a sandbox says of one file must not change others
        orders = [path_order(item.path) for item in items]
        is_below = all(item.path.startswith(f"{path}/") for item in items)
        if not is_below or any(one >= other for one, other in pairwise(orders)):
            return [], "E_ARCHIVE_DAMAGED"
        return items, str(found["code"])

    def wholes(self, paths: Sequence[str]) -> list[Look]:
        """Return the digest of all bytes of each file."""
        return self._looks("whole", paths, WHOLE_S)

    def pixels(self, path: str) -> Look:
        """Return the digest of a file's decoded pixels."""
        (found,) = self._looks("pixels", [path], PIXELS_S)
        return found

    def _looks(self, kind: str, paths: Sequence[str], item_s: float) -> list[Look]:
        asked = [{"token": bytes_digest(path.encode()), "path": path} for path in paths]
        batches = [asked[first : first + BATCH] for first in range(0, len(asked), BATCH)]
        results = self._pool.map_batches(kind, batches, item_s=item_s, subject=lambda item: str(item["token"]))
        return [
            Look("", one.code) if isinstance(one, Death) else Look(str(one["digest"]), str(one["code"]))
            for batch in results
            for one in batch
        ]

    def _asked(self, items: Iterable[Asked], under_way: deque[list[Asked]]) -> Iterator[list[dict[str, Any]]]:
        coming = iter(items)
        while batch := list(islice(coming, self._batch)):
            under_way.append(batch)
            yield [
                {"token": str(place), "path": item.path, "size": item.size, "version": item.version}
                for place, (item, known) in enumerate(batch)
                if item.problem is None and known is None
            ]

    def _headers(self, batch: Sequence[Asked], found: Sequence[Any], hearer: Hearer) -> Iterator[Header]:
        results = iter(found)
        for item, known in batch:
            code = item.problem
            if code is None:
                yield self._identify(known or _header_of(item, next(results), hearer))
                continue
            yield Header(path=item.path, size=item.size, version=item.version, code=code)


def _header_of(item: Item, answer: Any, hearer: Hearer) -> Header:
    """Return what a sandbox says of an item, or a header with the code why it says nothing of use."""
    code = "E_HEADER"
    if isinstance(answer, Death):
        code = _code_of(answer)
    else:
        try:
            # of a mapping, a part is asked for by its key from Python 3.12 on
            header = hearer.header(answer) if isinstance(answer, str) else None
        except (ValueError, TypeError, RecursionError):
            header = None
        # what a sandbox says of one file must not change others
        if header is not None and (header.path, header.size, header.version) == (item.path, item.size, item.version):
            return header
    return Header(path=item.path, size=item.size, version=item.version, code=code)


def _checked(header: Header) -> Header:
    """Return a header that came from a sandbox.

    Raises
    ------
    ValueError
        If a value is one that no reading gives: files of others must not suffer by it.
    """
    sides = (header.rows, header.columns, header.samples, header.bits_allocated, header.n_frames)
    kinds = all(type(value) is KINDS.get(name) for name, value in header.facts.items())
    is_counted = all(0 <= count < _MOST_COUNTED for count in (header.size, *sides))
    # what has no voxel is no image, or it has a code
    is_settled = bool(header.code or header.format or not header.has_pixels or all(sides))
    are_known = {header.code, *header.notes} <= REASONS.keys() | {""}
    if header.mosaic is not None:
        is_settled &= len(header.mosaic.position) == len(header.mosaic.step_mm) == 3 and not check_plane(header.top)
    if not (kinds and is_counted and is_settled and are_known) or len(header.padding) not in {0, 2}:
        raise ValueError("no header")
    return header


def _code_of(death: Death) -> str:
    return "E_HEADER" if death.code in {"E_CRASH", "E_INTERNAL"} else death.code
