"""``medpipe forget``: an archive that will not come back is taken out of a lake's index."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medpipe.app.lakes import open_with_key
from medpipe.app.scan_state import SourceState, known_sources, source_folder
from medpipe.app.scanning import source_id
from medpipe.app.site import Site
from medpipe.errors import ConfigError
from medpipe.lake.durable import fsync_path, storage_faults
from medpipe.lake.failpoints import FORGET_POINT, hit
from medpipe.lake.index import index_sources
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.privacy.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What is taken out of the index with a source.

    Attributes
    ----------
    source : str
        Id of the source.
    files : int
        Files that are not gone.
    series, volumes : int
        Rows of the index.
    """

    source: str
    files: int
    series: int
    volumes: int

    def facts(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"source": self.source, "files": self.files, "series": self.series, "volumes": self.volumes}


def forget_archive(root: Path, archive: str, site: Site) -> Forgotten:
    """Take an archive out of the index; what it held is in the next run's tables no more.

    Results stay in the lake, and published tables as they are until that run. A kill leaves the
    archive known or forgotten, nothing between; the same archive may be scanned again later.

    Parameters
    ----------
    root : Path
        Folder of the lake.
    archive : str
        The real path of the folder that was scanned, which need not be there any more, or its
        id. A link to it will do as long as it leads there.
    site : Site
        Names the key.

    Raises
    ------
    ConfigError
        If the index has no such archive.
    LakeError
        If the folder is no lake, or the lake's key is not at hand.
    StoppedError
        If a run is working on the lake.
    """
    lake, secret = open_with_key(root, site)
    with lake.driver():
        found = _found(lake, secret, archive)
        lake.refuse_if_superseded()
        _remove_folder(lake, source_folder(found.source))
        hit(FORGET_POINT)
        remove_leftovers(lake)
    return found


def forgettable(root: Path, archive: str, site: Site) -> Forgotten:
    """Return what :func:`forget_archive` would take out; nothing is changed."""
    lake, secret = open_with_key(root, site)
    return _found(lake, secret, archive)


def remove_leftovers(lake: Lake) -> None:
    """Remove the index of sources that have no state: what a kill left of one that was forgotten.

    The caller is the lake's driver.
    """
    known = set(known_sources(lake))
    for source in index_sources(lake):
        if source not in known:
            _remove_folder(lake, f"{LAYOUT.index_sources()}/{source}")


def _found(lake: Lake, secret: Secret, archive: str) -> Forgotten:
    known = known_sources(lake)
    asked = {archive, source_id(Pseudonyms(secret), Path(archive).resolve())}
    state = next((SourceState.load(lake, source) for source in known if source in asked), None)
    if state is None:
        held = filter(None, (SourceState.load(lake, source) for source in known))
        listed = ", ".join(f"{one.root} ({one.source})" for one in held)
        raise ConfigError(
            f"{lake.root}: no archive {archive} was scanned into it: give its folder exactly, without links, or its "
            f"id. These were scanned: {listed or 'none'}"
        )
    rows: Counter[str] = Counter()
    for one in state.ranges.values():
        rows.update(one.rows)
    return Forgotten(source=state.source, files=state.files, series=rows["series"], volumes=rows["volumes"])


def _remove_folder(lake: Lake, path: str) -> None:
    folder = lake.store.absolute(path)
    with storage_faults(path), lake.store.attempt("forgotten") as aside:
        # out of its name at once, so that half of it is never seen there
        folder.rename(aside)
        fsync_path(folder.parent)
