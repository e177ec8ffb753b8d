"""The Python surface: what ``import medpipe`` offers beside the types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medpipe.app.prepare import RunRequest, plan_run
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.run_report import RunReport
from medpipe.app.scan import ScanReport, scan_archives
from medpipe.app.site import load_site
from medpipe.contracts.protocols import Extractor
from medpipe.engine.arrays import lazy_array
from medpipe.errors import ConfigError, IntegrityError, LakeError
from medpipe.lake.lake import Lake
from medpipe.lake.query import read_table, sql, table_names
from medpipe.lake.volumes import open_array
from medpipe.ops.registry import make
from medpipe.types import Geometry, Region, Volume

PathLike = str | Path


def run(
    recipe: PathLike,
    archive: PathLike | Sequence[PathLike],
    lake: PathLike,
    *,
    site: PathLike | None = None,
    cohort: PathLike | None = None,
    cohort_sql: str | None = None,
) -> RunReport:
    """Run a recipe over an archive and publish the tables.

    Parameters
    ----------
    recipe : path or str
        Recipe file, or the name of a shipped one.
    archive : path or sequence of path
        Folders of images.
    lake : path
        Folder where results live; made if it does not exist.
    site : path, optional
        Site file (workers, engine, device, limits, key).
    cohort : path, optional
        File of the patients, studies and series to take: identifiers or keys, as for ``--cohort``.
    cohort_sql : str, optional
        Query over the index tables ``series`` and ``volumes`` that gives their keys; one of the two.

    Returns
    -------
    RunReport
        Counts, the snapshot and the folder of the tables.

    Raises
    ------
    MedpipeError
        As the command line does; ``error.exit_code`` is its exit code.

    Notes
    -----
    Sandboxes are processes of their own: in a script, call this under
    ``if __name__ == "__main__":``.
    """
    return run_archive(_request(recipe, archive, lake, site, cohort=cohort, cohort_sql=cohort_sql), Silent())


def preview(
    recipe: PathLike,
    archive: PathLike | Sequence[PathLike],
    lake: PathLike,
    *,
    site: PathLike | None = None,
    cohort: PathLike | None = None,
    cohort_sql: str | None = None,
) -> dict[str, Any]:
    """Return what :func:`run` would do: cases, products, memory, and why volumes are left out."""
    return plan_run(_request(recipe, archive, lake, site, cohort=cohort, cohort_sql=cohort_sql), Silent())


def scan(archive: PathLike | Sequence[PathLike], lake: PathLike, *, site: PathLike | None = None) -> ScanReport:
    """Index an archive: every file gets one row with one outcome."""
    return scan_archives(_paths(archive), Path(lake), load_site(None if site is None else Path(site)), Silent())


def open_lake(path: PathLike) -> OpenLake:
    """Open a lake's published tables and volumes for reading; no key is needed.

    Raises
    ------
    LakeError
        If the folder is no lake, or one of another format version.
    """
    return OpenLake(Lake.open(Path(path)))


class OpenLake:
    """A lake open for reading; made by :func:`open_lake`."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def __repr__(self) -> str:
        return f"OpenLake({str(self._lake.root)!r})"

    @property
    def tables(self) -> list[str]:
        """Names of the published tables."""
        return table_names(self._lake)

    def table(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        *,
        modality: str | None = None,
        series_key: str | None = None,
        recipe: str | None = None,
    ) -> Any:
        """Return a table as a ``pyarrow.Table`` (``.to_pandas()`` gives a data frame).

        Parameters
        ----------
        name : str
        columns : sequence of str, optional
            Only these columns.
        modality, series_key : str, optional
            Only the rows of one modality or series; files that hold none of them are not opened.
        recipe : str, optional
            The recipe's latest tables instead of the lake's.
        """
        asked = {"modality": modality, "series_key": series_key}
        where = {column: value for column, value in asked.items() if value is not None}
        return read_table(
            self._lake, name, recipe=recipe, columns=None if columns is None else list(columns), where=where
        )

    def sql(self, text: str, *, recipe: str | None = None) -> Any:
        """Return the answer to a DuckDB query over the tables, as a ``pyarrow.Table``."""
        return sql(self._lake, text, recipe=recipe)

    def volume(self, volume_key: str) -> Volume:
        """Return a stored volume; its ``data`` is a lazy float32 Dask array.

        Raises
        ------
        LakeError
            If the tables hold no such volume, or it was refused.
        """
        rows = read_table(self._lake, "volumes", where={"volume_key": volume_key}).to_pylist()
        if not rows or rows[0]["store"] is None:
            raise LakeError(f"volume {volume_key[:32]!r}: not in the tables, or it was refused")
        stored, how = open_array(self._lake, rows[0]["store"])
        geometry = Geometry(
            shape=tuple(stored.shape),
            axes=how["axes"],
            spacing_mm=_tuple(how.get("spacing_mm")),
            affine_lps=_tuple(how.get("affine_lps")),
            slice_positions_mm=_tuple(how.get("slice_positions_mm")),
        )
        return Volume(
            data=lazy_array(stored, scale=how["scale"], offset=how["offset"]),
            geometry=geometry,
            unit=how["unit"],
            modality=how["modality"],
            verdict=how["verdict"],
        )


def extract(volume: Volume, mask: Any, ops: Sequence[Extractor | Mapping[str, Any]]) -> dict[str, float]:
    """Measure one region of one image.

    Parameters
    ----------
    volume : Volume
    mask : array of bool, shape of the volume's last three axes
    ops : sequence
        Extractors, or their tables as a recipe writes them, such as
        ``{"op": "ibsi", "bin_width": 25.0, "range": [-1000.0, 400.0]}``.

    Returns
    -------
    dict
        Column to value; NaN where a value is not defined.

    Raises
    ------
    ConfigError
        If a parameter is wrong or two ops have a column in common.
    Rejected
        If an op cannot measure this image; ``error.code`` says why.
    """
    if tuple(mask.shape) != volume.geometry.spatial_shape:
        raise ConfigError(f"mask: shape {tuple(mask.shape)}, but the volume's is {volume.geometry.spatial_shape}")
    region = Region(mask=mask.astype(bool), name="roi_1")
    values: dict[str, float] = {}
    for place, op in enumerate(ops):
        extractor = make("features", op, f"ops.{place}") if isinstance(op, Mapping) else op
        found = extractor(volume, region)
        if values.keys() & found.keys():
            raise ConfigError(f"ops.{place}: its columns are given by an op before it already")
        values |= found
    return values


def _request(
    recipe: PathLike,
    archive: PathLike | Sequence[PathLike],
    lake: PathLike,
    site: PathLike | None,
    *,
    cohort: PathLike | None,
    cohort_sql: str | None,
) -> RunRequest:
    return RunRequest(
        recipe=str(recipe),
        archives=_paths(archive),
        lake=Path(lake),
        site=load_site(None if site is None else Path(site)),
        cohort=None if cohort is None else Path(cohort),
        cohort_sql=cohort_sql,
    )


def _paths(archive: PathLike | Sequence[PathLike]) -> tuple[Path, ...]:
    return (Path(archive),) if isinstance(archive, (str, Path)) else tuple(Path(one) for one in archive)


def _tuple(values: Sequence[float] | None) -> Any:
    if values is None:
        return None
    if not all(isinstance(value, (int, float)) for value in values):
        raise IntegrityError("a volume's geometry holds no numbers")
    return tuple(float(value) for value in values)
