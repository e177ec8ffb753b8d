"""The session in which a sandbox reads headers for the scan; it loads no more than that."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from medpipe.archive.alike import Sliced, Teller
from medpipe.archive.containers import is_archive
from medpipe.archive.dicomdir import lacks_files
from medpipe.archive.header import Header
from medpipe.archive.heads import Heads
from medpipe.archive.open_file import MAX_FILE_BYTES, OpenFile
from medpipe.archive.other.cases import source_at
from medpipe.archive.pixels import pixel_digest
from medpipe.archive.source import Archive, FolderSource
from medpipe.archive.zips import ends_like_zip
from medpipe.errors import Rejected
from medpipe.keys import bytes_digest

QUICK_AFTER = 256
"""Files read whole before the quick reader is loaded, which takes as long as reading about so many."""
QUICK = "medpipe.archive.quick.loaded"
"""Where this module was imported before, the quick reader is loaded already."""

Json = dict[str, Any]
Mark = Callable[[str, str], None]


def open_scan(init: Mapping[str, Any]) -> ScanSession:
    """Open the session that reads headers below ``init["root"]``."""
    return ScanSession(source_at(init["root"]), file_bytes=init["file_bytes"])


class ScanSession:
    """Reads headers and digests, item by item, each marked before it is touched."""

    def __init__(self, source: Archive, *, file_bytes: int) -> None:
        self._source = source
        self._teller = Teller()
        self._file_bytes = min(file_bytes, MAX_FILE_BYTES)
        self._heads = Heads(after=0 if QUICK in sys.modules else QUICK_AFTER, splits=True)

    def call(self, kind: str, payload: Json, mark: Mark) -> Json:
        """Work through ``payload["items"]``: kind ``headers``, ``members``, ``whole`` or ``pixels``."""
        each: Callable[[Json], Any] = {
            "headers": self._header,
            "members": self._members,
            "whole": self._whole,
            "pixels": self._pixels,
        }[kind]
        self._teller = Teller()
        if isinstance(self._source, FolderSource):
            # files of a folder come one after the other; the next call goes the whole way again
            self._source = FolderSource(self._source.root, stays=True)
        results: list[Any] = []
        for item in payload["items"]:
            mark(kind, item["token"])
            results.append(each(item))
        return {"results": results}

    def _header(self, item: Json) -> str:
        return self._teller.text(self._read(item))

    def _read(self, item: Json) -> Header | Sliced:
        place = {"path": item["path"], "size": item["size"], "version": item["version"]}
        try:
            with self._source.opened(item["path"]) as file:
                # of the file as it is open, not as it was listed: the next scan sees what changed between
                if item["size"] > self._file_bytes:
                    header = Header(**place, code="E_TOO_LARGE")
                else:
                    told = self._heads.told(file, **place)
                    if isinstance(told, Sliced):
                        return told
                    header = told
                code = self._code(header, file)
                return header if code == header.code else replace(header, code=code)
        except Rejected as rejected:
            return Header(**place, code=rejected.code)

    def _code(self, header: Header, file: OpenFile) -> str:
        """Return the code of a header, if it is no archive file and no directory of a medium."""
        if header.code == "E_NOT_DICOM" and file.is_member and is_archive(file.head):
            return "E_ARCHIVE_NESTED"
        if header.code in {"E_NOT_DICOM", "E_TOO_LARGE"} and not file.is_member and is_archive(file.head):
            return "S_ARCHIVE"
        if header.code == "E_NOT_DICOM" and not file.is_member:
            return ends_like_zip(file.at, file.size) or header.code
        if header.code == "E_DICOMDIR" and lacks_files(file.whole(), header.path, self._source.has):
            return "S_DICOMDIR_LACKS"
        return header.code

    def _members(self, item: Json) -> Json:
        try:
            found, code = self._source.members(item["path"])
        except Rejected as rejected:
            return {"members": [], "code": rejected.code}
        return {"members": [[one.path, one.size, one.version, one.problem] for one in found], "code": code}

    def _whole(self, item: Json) -> Json:
        return _looked(lambda: bytes_digest(self._source.open(item["path"])))

    def _pixels(self, item: Json) -> Json:
        return _looked(lambda: pixel_digest(self._source.open(item["path"])))


def _looked(look: Callable[[], str]) -> Json:
    try:
        return {"digest": look(), "code": ""}
    except Rejected as rejected:
        return {"digest": "", "code": rejected.code}
