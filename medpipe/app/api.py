"""The Python surface: what ``import medpipe`` offers beside the types."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.app.one_image import DEFAULT_RECIPE, Question, measure_files, values_of
from medpipe.app.prepare import RunRequest, plan_run
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.run_report import RunReport
from medpipe.app.scan import ScanReport, scan_archives
from medpipe.app.site import load_site
from medpipe.app.stability import stability
from medpipe.contracts.protocols import Extractor
from medpipe.engine.arrays import lazy_array
from medpipe.errors import ConfigError, IntegrityError, LakeError
from medpipe.lake.lake import Lake
from medpipe.lake.query import read_table, sql, table_names
from medpipe.lake.volumes import open_array
from medpipe.ops.registry import make
from medpipe.recipe.recipe import load_recipe
from medpipe.types import Array, Geometry, Region, Volume

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

    def stability(self, *, recipe: str | None = None) -> Any:
        """Return intraclass correlations of features over perturbations, as a ``pyarrow.Table``.

        See :data:`medpipe.app.stability.STABILITY` for its columns.

        Raises
        ------
        ConfigError
            If nothing was measured perturbed.
        """
        return stability(self._lake, recipe=recipe)

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


def extract(
    volume: Volume | Array | PathLike,
    mask: Array | PathLike,
    ops: Sequence[Extractor | Mapping[str, Any]] | None = None,
    *,
    spacing_mm: tuple[float, float, float] | None = None,
    label: int | None = None,
    recipe: PathLike | None = None,
    series: str = "",
) -> dict[str, float]:
    """Measure one region of one image, in memory or in files.

    Parameters
    ----------
    volume : Volume, array (z, y, x) or path
        A path is a NIfTI, NRRD or DICOM file, or a folder of DICOM files.
    mask : array, shape of the volume's last three axes, or path
        True or any number but 0 inside. A path is a mask in NIfTI or NRRD, or a DICOM SEG or
        RTSTRUCT.
    ops : sequence, optional
        For arrays: extractors, or their tables as a recipe writes them, such as
        ``{"op": "ibsi", "bin_width": 25.0, "range": [-1000.0, 400.0]}``; those of the shipped recipe
        ``one-image`` if there are none.
    spacing_mm : (float, float, float), optional
        Of an array, along (z, y, x), mm; without it there are no shapes.
    label : int, optional
        The value of the mask that is the region.
    recipe : path or str, optional
        For files: recipe file, or the name of a shipped one; ``one-image`` by default.
    series : str, optional
        For a folder that holds several: SeriesInstanceUID of the image.

    Returns
    -------
    dict
        Column to value; NaN where a value is not defined.

    Raises
    ------
    ConfigError
        If a parameter is wrong, two ops have a column in common, or files hold no region or several.
    Rejected
        If an op cannot measure this image; ``error.code`` says why.

    Notes
    -----
    Files are read in a process of its own: in a script, measure them under
    ``if __name__ == "__main__":``.
    """
    if isinstance(volume, (str, Path)) or isinstance(mask, (str, Path)):
        if not (isinstance(volume, (str, Path)) and isinstance(mask, (str, Path))):
            raise ConfigError("extract: image and mask are both files, or both in memory")
        if ops is not None or spacing_mm is not None:
            raise ConfigError(
                "extract: files have a spacing and are measured by a recipe: ops, spacing_mm are for arrays"
            )
        question = Question(
            image=Path(volume),
            mask=Path(mask),
            label=label,
            recipe=DEFAULT_RECIPE if recipe is None else str(recipe),
            series=series,
        )
        return values_of(measure_files(question, load_site(None), warnings.warn))
    if recipe is not None or series:
        raise ConfigError("extract: a recipe is for files; arrays are measured by ops")
    held = _volume_of(volume, spacing_mm)
    values_in = np.asarray(mask)
    if values_in.shape != held.geometry.spatial_shape:
        raise ConfigError(f"mask: shape {values_in.shape}, but the volume's is {held.geometry.spatial_shape}")
    region = Region(mask=values_in != 0 if label is None else values_in == label, name="roi_1")
    return _measured(held, region, ops)


def _volume_of(given: Volume | Array, spacing_mm: tuple[float, float, float] | None) -> Volume:
    if isinstance(given, Volume):
        if spacing_mm is not None:
            raise ConfigError("extract: a volume has its own spacing")
        return given
    data = np.asarray(given)
    if data.ndim != 3 or data.dtype.kind not in "biuf":
        raise ConfigError(f"extract: an image is an array of real numbers (z, y, x), not {data.dtype} {data.shape}")
    if spacing_mm is not None and not (
        len(spacing_mm) == 3 and all(math.isfinite(step) and step > 0 for step in spacing_mm)
    ):
        raise ConfigError(f"spacing_mm: three lengths above 0 along z, y and x, not {spacing_mm}")
    spacing = _tuple(spacing_mm)
    return Volume(data=data.astype(np.float32), geometry=Geometry(shape=data.shape, spacing_mm=spacing))


def _measured(volume: Volume, region: Region, ops: Sequence[Extractor | Mapping[str, Any]] | None) -> dict[str, float]:
    if ops is None:
        ops = [entry.op for route in load_recipe(DEFAULT_RECIPE).routes for entry in route.features]
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
