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


def conditions_of(limits: Limits) -> str:
    """Return the digest of medpipe's version, those of the codecs, and the site's limits."""
    versions = {name: version(name) for name in ("medpipe", *_CODECS)}
    return digest({"versions": versions, "limits": limits.model_dump(mode="json")})[:16]
