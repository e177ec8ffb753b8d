"""``--only`` and ``--limit``: which volumes a partial run takes."""

from __future__ import annotations

from medpipe.app.index import Index
from medpipe.contracts.tables import SERIES, VOLUMES
from medpipe.errors import ConfigError
from medpipe.lake.query import filter_rows

_QUERY = """
    SELECT volumes.volume_key
    FROM volumes
    LEFT JOIN (SELECT series_key, * EXCLUDE (series_key, modality) FROM series) AS series USING (series_key)
    WHERE (CONDITION)
    ORDER BY volumes.series_key, volumes.volume_key
"""


def chosen_volumes(index: Index, *, only: str | None, limit: int | None) -> frozenset[str]:
    """Return the volume keys a condition and a limit choose.

    Parameters
    ----------
    index : Index
    only : str or None
        SQL condition over the columns of ``volumes`` and ``series``.
    limit : int or None
        At most so many, in the order of series and volume keys.

    Raises
    ------
    ConfigError
        If the condition is no SQL over these columns.
    """
    tables = {"volumes": (VOLUMES, index.volumes), "series": (SERIES, index.series)}
    try:
        keys = [row["volume_key"] for row in filter_rows(tables, _QUERY.replace("CONDITION", only or "TRUE"))]
    except ConfigError as error:
        raise ConfigError(f"--only: {error}") from None
    return frozenset(keys[:limit] if limit is not None else keys)
