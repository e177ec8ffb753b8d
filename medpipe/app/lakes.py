"""Opening lakes for the verbs: with the site's key, made where there is none yet."""

from __future__ import annotations

from pathlib import Path

from medpipe.app.progress import Progress
from medpipe.app.site import Site
from medpipe.errors import LakeError
from medpipe.lake.durable import storage_faults
from medpipe.lake.lake import Lake, is_lake
from medpipe.privacy.secret import Secret, find_secret, load_secret


def open_or_create(root: Path, site: Site, progress: Progress) -> tuple[Lake, Secret]:
    """Open a lake with the site's key; make it if the folder is new or empty.

    Raises
    ------
    LakeError
        If the folder is something else, or the lake is of another version, key or privacy mode.
    SecurityError
        If the key file cannot be used.
    """
    secret = load_secret(site.key_file)
    if secret.created:
        progress.say(f"a secret key was made for you at {secret.path}: keep it; lakes made with it open with no other")
    with storage_faults(str(root)):
        if not is_lake(root):
            return Lake.create(root, privacy=site.privacy or "pseudonymized", secret=secret), secret
        lake = Lake.open(root, secret=secret)
    if site.privacy is not None and site.privacy != lake.privacy:
        raise LakeError(f"{root} is a {lake.privacy} lake, {site.privacy} was asked for: use another lake")
    return lake, secret


def open_with_key(root: Path, site: Site) -> tuple[Lake, Secret]:
    """Open a lake for who wants to see what is sealed in it.

    Raises
    ------
    LakeError
        If the folder is no lake, or the lake's key is not at hand.
    SecurityError
        If the key file cannot be used.
    """
    secret = find_secret(site.key_file)
    if secret is None:
        raise LakeError(f"{root}: what it knows of archives opens with the lake's key only: name it in a site file")
    return Lake.open(root, secret=secret), secret
