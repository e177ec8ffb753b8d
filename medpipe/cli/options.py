"""Arguments that several commands share, and the site they add up to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medpipe.errors import ConfigError

if TYPE_CHECKING:
    from medpipe.app.site import Site

ARCHIVES = Annotated[
    list[Path],
    typer.Argument(
        readable=False,
        help="folders of images, in any order and with any names; zip and tar files; or case lists (CSV with columns "
        "Image and Mask)",
    ),
]
LAKE = Annotated[
    Path, typer.Option("--lake", readable=False, help="folder where results live; made if it does not exist")
]
LAKE_ARGUMENT = Annotated[Path, typer.Argument(readable=False, help="folder of the lake")]
RECIPE = Annotated[str, typer.Option("-r", "--recipe", help="recipe file (TOML), or the name of a shipped one")]
JSON = Annotated[bool, typer.Option("--json", help="print JSON")]
KEY = Annotated[Path | None, typer.Option("--key", help="key file of the lake (default: the user's own)")]


def site_of(
    path: Path | None,
    *,
    privacy: str | None = None,
    device: str | None = None,
    workers: int | None = None,
    engine: str | None = None,
) -> Site:
    """Return the site file's settings with the command line's over them."""
    from medpipe.app.site import load_site

    return site_with(load_site(path), privacy=privacy, device=device, workers=workers, engine=engine)


def site_with(
    site: Site,
    *,
    privacy: str | None = None,
    device: str | None = None,
    workers: int | None = None,
    engine: str | None = None,
) -> Site:
    """Return a site with the command line's settings over its own."""
    from medpipe.app.site import Site
    from medpipe.recipe.checking import checked

    given = {"privacy": privacy, "device": device, "workers": workers, "engine": engine}
    changes = {name: value for name, value in given.items() if value is not None}
    return checked(Site, {**dict(site), **changes}, "") if changes else site


def share(text: str) -> float:
    """Turn ``2%`` or ``0.02`` into 0.02.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ConfigError(f"--allow-quarantined: {text!r} is no share (write 2% or 0.02)") from None
    if not 0 <= value <= 1:
        raise ConfigError(f"--allow-quarantined: {text!r} is not between 0% and 100%")
    return value
