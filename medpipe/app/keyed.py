"""Opening a lake for its care: with its key where that is at hand, and without where it is not."""

from __future__ import annotations

from pathlib import Path

from medpipe.app.site import Site
from medpipe.errors import LakeError, SecurityError
from medpipe.lake.lake import Lake
from medpipe.privacy.secret import Secret, find_secret


def open_keyed(root: Path, site: Site) -> tuple[Lake, bool]:
    """Open a lake; tell whether its sealed blobs can be read.

    A key the site file names must be the lake's own. No key is ever made here.

    Raises
    ------
    LakeError
        If the folder is no lake, or the site's key is another.
    SecurityError
        If the site's key file cannot be used.
    """
    secret = _found(site)
    if secret is None:
        return Lake.open(root), False
    try:
        return Lake.open(root, secret=secret), True
    except LakeError:
        if site.key_file is not None:
            raise
        return Lake.open(root), False


def _found(site: Site) -> Secret | None:
    try:
        return find_secret(site.key_file)
    except SecurityError:
        if site.key_file is not None:
            raise
        return None
