"""The session in which a sandbox reads headers for the scan; it loads no more than that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from medpipe.archive.header import Header
from medpipe.archive.other.cases import source_at
from medpipe.archive.other.door import read_any
from medpipe.archive.pixels import pixel_digest
from medpipe.archive.source import Archive
from medpipe.errors import Rejected
from medpipe.keys import bytes_digest

Json = dict[str, Any]
Mark = Callable[[str, str], None]


def open_scan(init: Mapping[str, Any]) -> ScanSession:
    """Open the session that reads headers below ``init["root"]``."""
    return ScanSession(source_at(init["root"]), file_bytes=init["file_bytes"])


class ScanSession:
    """Reads headers and digests, item by item, each marked before it is touched."""

    def __init__(self, source: Archive, *, file_bytes: int) -> None:
        self._source = source
        self._file_bytes = file_bytes

    def call(self, kind: str, payload: Json, mark: Mark) -> Json:
        """Work through ``payload["items"]``: kind ``headers``, ``whole`` or ``pixels``."""
        each = {"headers": self._header, "whole": self._whole, "pixels": self._pixels}[kind]
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
            with self._source.opened(item["path"]) as file:
                # of the file as it is open, not as it was listed: the next scan sees what changed between
                return read_any(file.whole(), **place).to_json()
        except Rejected as rejected:
            return Header(**place, code=rejected.code).to_json()

    def _whole(self, item: Json) -> Json:
        return _looked(lambda: bytes_digest(self._source.open(item["path"])))

    def _pixels(self, item: Json) -> Json:
        return _looked(lambda: pixel_digest(self._source.open(item["path"])))


def _looked(look: Callable[[], str]) -> Json:
    try:
        return {"digest": look(), "code": ""}
    except Rejected as rejected:
        return {"digest": "", "code": rejected.code}
