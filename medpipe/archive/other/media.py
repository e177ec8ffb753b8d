"""Films and sounds: told by their first bytes, catalogued, never opened."""

from __future__ import annotations

from typing import Final

_STILLS: Final = frozenset({b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis", b"jp2 ", b"jpx ", b"crx "})
_FILMS: Final = (b"\x1a\x45\xdf\xa3", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"FLV\x01")
_SOUNDS: Final = (b"OggS", b"fLaC", b"ID3\x02", b"ID3\x03", b"ID3\x04")


def medium_code(head: bytes) -> str:
    """Return ``S_VIDEO`` or ``S_AUDIO`` for a film or a sound, else nothing."""
    if head[4:8] == b"ftyp" and head[8:12] not in _STILLS:
        return "S_AUDIO" if head[8:12] in {b"M4A ", b"M4B "} else "S_VIDEO"
    if head[:4] == b"RIFF":
        return {b"AVI ": "S_VIDEO", b"WAVE": "S_AUDIO"}.get(head[8:12], "")
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return "S_AUDIO"
    if head.startswith(_FILMS):
        return "S_VIDEO"
    return "S_AUDIO" if head.startswith(_SOUNDS) else ""
