"""Under which a case that did not end well stands: other code, codecs or limits, and it is tried again."""

from __future__ import annotations

from importlib.metadata import version

from medpipe.app.site import Limits
from medpipe.keys import digest

_CODECS = (
    "pydicom",
    "pylibjpeg",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
    "pylibjpeg-rle",
    "pyjpegls",
    "imagecodecs",
)


def conditions_of(limits: Limits, *, device_bytes: int | None = None) -> str:
    """Return the digest of medpipe's version, those of the codecs, the site's limits, and a worker's share of a device."""
    versions = {name: version(name) for name in ("medpipe", *_CODECS)}
    device = {} if device_bytes is None else {"device_bytes": device_bytes}
    return digest({"versions": versions, "limits": limits.model_dump(mode="json"), **device})[:16]
