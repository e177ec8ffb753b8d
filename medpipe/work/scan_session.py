"""The session in which a sandbox reads headers for the scan; it loads no more than that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from medpipe.archive.header import Header
from medpipe.archive.other.cases import source_at
from medpipe.archive.other.door import read_any
from medpipe.archive.pixels import pixel_digest
from medpipe.contracts.protocols import Source
from medpipe.errors import Rejected

Json = dict[str, Any]
Mark = Callable[[str, str], None]


def open_scan(init: Mapping[str, Any]) -> ScanSession:
    """Open the session that reads headers below ``init["root"]``."""
    return ScanSession(source_at(init["root"]), file_bytes=init["file_bytes"])


class ScanSession:
    """Reads headers and pixel digests, item by item, each marked before it is touched."""

    def __init__(self, source: Source, *, file_bytes: int) -> None:
        self._source = source
        self._file_bytes = file_bytes

    def call(self, kind: str, payload: Json, mark: Mark) -> Json:
        """Work through ``payload["items"]``: kind ``headers`` or ``pixels``."""
        each = {"headers": self._header, "pixels": self._pixels}[kind]
        results = []
        for item in payload["items"]:
            mark(kind, item["token"])
            results.append(each(item))
        return {"results": results}

    def _header(self, item: Json) -> Json:
        place = {"path": item["path"], "size": item["size"], "version": item["version"]}
        if item["size"] > self._file_bytes:
            return Header(**place, code="E_TOO_LARGE").to_json()
        try:
            return read_any(self._source.open(item["path"]), **place).to_json()
        except Rejected as rejected:
            return Header(**place, code=rejected.code).to_json()

    def _pixels(self, item: Json) -> Json:
        try:
            return {"digest": pixel_digest(self._source.open(item["path"])), "code": ""}
        except Rejected as rejected:
            return {"digest": "", "code": rejected.code}
