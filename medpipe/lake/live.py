"""What must stay in a lake, gathered from its pointers, snapshots, names and locks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime

from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.models import lake_models
from medpipe.lake.reach import loose_segments, reach_of
from medpipe.lake.results import Results
from medpipe.lake.retention import Kept, Retention, kept, publications, shown_publication
from medpipe.lake.sweep import Live

_DIGEST = re.compile(r"[0-9a-f]{64}")


def live_of(
    lake: Lake,
    results: Results,
    rules: Retention,
    *,
    at: datetime,
    index: frozenset[str] | None,
    private: frozenset[str] | None,
    tick: Callable[[], None],
) -> Live:
    """Return all that must stay under the rules.

    Parameters
    ----------
    lake : Lake
    results : Results
    rules : Retention
    at : datetime
        Now.
    index, private : frozenset of str or None
        Paths of the index of sources in use, names of sealed blobs in use; None without the key.
    tick : callable
        Called as work goes on.

    Raises
    ------
    IntegrityError
        If anything that says what is reached cannot be read: then nothing may be removed.
    """
    stays = kept(lake, rules, at=at)
    reach = reach_of(lake, results, stays, rules, tick)
    return Live(
        kept=stays,
        reach=reach,
        loose_segments=frozenset(loose_segments(lake, reach, stays, tick)),
        publications=frozenset({*publications(lake).values(), shown_publication(lake) or ""} - {""}),
        index=index,
        models=frozenset(_models(lake, stays)),
        private=private,
    )


def _models(lake: Lake, stays: Kept) -> Iterator[str]:
    """Yield the digests that a name or the locked recipe of a kept run refers to."""
    if lake.store.exists(LAYOUT.model_register()):
        yield from (digest for _name, digest, order in lake_models(lake) if order)
    for run in sorted(stays.runs):
        path = LAYOUT.run_recipe(run)
        if lake.store.exists(path):
            yield from _DIGEST.findall(lake.store.get(path).decode())
