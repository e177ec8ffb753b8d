"""A header as text, with what a scan needs of it: it is written once, and read when stacks are made of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NamedTuple

from medpipe.archive.header import Header


class Told(NamedTuple):
    """What a header says of where a file belongs, and all of it as JSON text.

    Attributes
    ----------
    path, size, version, code, format, study_uid, series_uid, patient_id, has_pixels, head_digest
        As in :class:`medpipe.archive.header.Header`.
    text : str
        The header, one line.
    """

    path: str
    size: int
    version: str
    code: str
    format: str
    study_uid: str
    series_uid: str
    patient_id: str
    has_pixels: bool
    head_digest: str
    text: str

    @classmethod
    def of(cls, header: Header) -> Told:
        """Return what a header tells."""
        return cls(
            header.path,
            header.size,
            header.version,
            header.code,
            header.format,
            header.study_uid,
            header.series_uid,
            header.patient_id,
            header.has_pixels,
            header.head_digest,
            json.dumps(header.to_json(), separators=(",", ":")),
        )

    def header(self) -> Header:
        """Return the header."""
        return Header.from_json(json.loads(self.text))

    def with_code(self, code: str) -> Told:
        """Return the same of a header with another code."""
        return self if code == self.code else Told.of(replace(self.header(), code=code))
