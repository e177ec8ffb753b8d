"""One image and its masks, measured without an archive: a lake that lives as long as the question.

The files become a case list, and the list goes the way of every archive: the same headers,
regions, refusals and extractors, so that a number does not depend on who asks for it.
"""

from __future__ import annotations

import csv
import math
import os
import secrets
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from medpipe.archive.encoding import decode_path, path_order
from medpipe.archive.header import Header
from medpipe.archive.heads import Heads
from medpipe.archive.other.cases import is_archive_file
from medpipe.archive.source import FolderSource
from medpipe.errors import ConfigError, Rejected
from medpipe.lake.lake import Lake
from medpipe.lake.query import sql
from medpipe.privacy.secret import KEY_BYTES
from medpipe.reasons import REASONS
from medpipe.recipe.recipe import load_recipe

DEFAULT_RECIPE = "one-image"
"""What is measured where no recipe is named."""

PLACE = ("region", "number", "n_voxels", "image", "extraction", "extraction_digest", "status", "code", "modality")
"""Columns of :func:`measure_files` that are no features."""

_NOT_TAKEN = "the recipe takes no such image (it may ask for a modality, which files other than DICOM do not tell)"
_CASE = "case"
_ROWS = """
    SELECT r.name AS region, r.label AS number, r.n_voxels, f.* EXCLUDE (region, series_key, volume_key, region_key)
    FROM features f JOIN regions r USING (region_key)
    ORDER BY f.volume_key, f.extraction, r.source, r.label, r.name
"""
_DICTIONARY = "SELECT * FROM feature_dictionary ORDER BY extraction, name"
_REFUSALS = "SELECT DISTINCT code, severity FROM quarantine WHERE severity IN ('error', 'warning') ORDER BY code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An image and its mask.

    Attributes
    ----------
    image : Path
        A file (NIfTI, NRRD, DICOM), or a folder of DICOM files.
    mask : Path
        A file: labels in NIfTI or NRRD, a DICOM SEG or RTSTRUCT.
    recipe : str
        Recipe file, or the name of a shipped one.
    label : int or None
        The value of a mask that is measured; None: each by itself.
    modality : str
        Of an image that does not say it, for recipes that ask.
    series : str
        SeriesInstanceUID of the image, where the folder holds several.
    """

    image: Path
    mask: Path
    recipe: str = DEFAULT_RECIPE
    label: int | None = None
    modality: str = ""
    series: str = ""


def measure_files(question: Question, site: Site, say: Callable[[str], None]) -> Any:
    """Return the features of the regions of one image: the first of :func:`measure_and_describe`."""
    return measure_and_describe(question, site, say)[0]


def measure_and_describe(question: Question, site: Site, say: Callable[[str], None]) -> tuple[Any, Any]:
    """Return the features of the regions of one image, and what each of their columns means.

    Parameters
    ----------
    question : Question
    site : Site
        Its device and limits count; lake, key and workers are those of the question.
    say : callable
        Told of what could not be used, a line each.

    Returns
    -------
    pyarrow.Table
        A row for each region and extraction: ``region``, its ``number`` in the order of the mask's
        values, ``n_voxels``, then the columns of ``features`` without its keys.
    pyarrow.Table
        The table ``feature_dictionary`` of the recipe.

    Raises
    ------
    ConfigError
        If there is no such file or recipe, if a folder holds several series and none is named, if
        the recipe takes no masks, or if nothing was measured; the message says why.
    """
    _check_recipe(question.recipe)
    with tempfile.TemporaryDirectory(prefix="medpipe-") as folder:
        cases, lake = Path(folder) / "cases.csv", Path(folder) / "lake"
        _write_list(cases, question)
        # the lake goes with its key; the user's own has no part in it
        key = Path(folder) / "key"
        key.touch(mode=0o600)
        key.write_text(secrets.token_hex(KEY_BYTES), encoding="ascii")
        own = {"engine": "serial", "workers": 1, "key_file": key}
        request = RunRequest(recipe=question.recipe, archives=(cases,), lake=lake, site=site.model_copy(update=own))
        run_archive(request, Silent())
        opened = Lake.open(lake)
        found, described = sql(opened, _ROWS), sql(opened, _DICTIONARY)
        refusals = sql(opened, _REFUSALS).to_pylist()
    problems = [_told(row["code"]) for row in refusals if row["severity"] == "error"]
    if not found.num_rows:
        doubts = [_told(row["code"]) for row in refusals if row["severity"] == "warning"]
        raise ConfigError(f"nothing was measured: {'; '.join(problems or doubts) or _NOT_TAKEN}")
    for problem in problems:
        say(f"not all could be used: {problem}")
    return found, described


def values_of(found: Any) -> dict[str, float]:
    """Return the values of the one region that was measured, those of all extractions together.

    Raises
    ------
    ConfigError
        If there are several regions, or two extractions have a column in common.
    """
    rows = found.to_pylist()
    regions = {(row["region"], row["number"]) for row in rows}
    if len(regions) > 1:
        raise ConfigError(f"the mask holds {len(regions)} regions: name the value of one as label")
    values: dict[str, float] = {}
    for name in found.column_names:
        if name in PLACE:
            continue
        given = [row[name] for row in rows if row[name] is not None]
        if len(given) > 1:
            raise ConfigError(f"{name}: {len(given)} extractions of the recipe give it; measure with one at a time")
        values[name] = given[0] if given else math.nan
    return values


def _check_recipe(name: str) -> None:
    recipe = load_recipe(name)
    if not any(op.uses_companions and route.features for route in recipe.routes for op in route.regions):
        raise ConfigError(f"recipe {recipe.name}: no route measures the regions of masks (segmentation_objects)")


def _write_list(path: Path, question: Question) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("ID", "Image", "Mask", "Label", "Modality"), *_rows(question)])
    except UnicodeEncodeError:
        raise ConfigError(f"{question.image}: a name that is no text: rename the file") from None


def _rows(question: Question) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the case list: the image, or each file of its series; and the mask."""
    image, mask = question.image.absolute(), question.mask.absolute()
    for path in (image, mask):
        if not path.exists():
            raise ConfigError(f"{path}: no such file")
    if not mask.is_file():
        raise ConfigError(f"{mask}: a mask is one file")
    if question.label == 0:
        raise ConfigError("label: 0 is what lies outside every region of a mask; name another value")
    label = "" if question.label is None else str(question.label)
    is_drawn = _header(mask).format == ""
    if is_drawn and label:
        raise ConfigError(f"{mask.name}: a label is a value of a mask in NIfTI or NRRD; name regions by a recipe")
    if image.is_file() and _header(image).format:
        if is_drawn:
            raise ConfigError(f"{mask.name}: a DICOM object is drawn on DICOM images")
        yield _CASE, str(image), str(mask), label, question.modality
        return
    series = _series_of(image, question.series)
    for paths in series.values():
        yield from (("", str(path), "", "", "") for path in paths)
    if is_drawn:
        yield "", str(mask), "", "", ""
        return
    if len(series) > 1:
        raise ConfigError(f"{image}: {len(series)} series ({', '.join(sorted(series))}): name one of them")
    yield "", next(iter(series)), str(mask), label, ""


def _series_of(image: Path, wanted: str) -> dict[str, list[Path]]:
    """Return the files of images by SeriesInstanceUID, of a folder or of one file."""
    if image.is_file():
        if is_archive_file(image):
            raise ConfigError(f"{image.name}: unpack it, or run a recipe over it with medpipe run")
        return {_header(image).series_uid: [image]}
    heads, source = Heads(after=64), FolderSource(image)
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for item in sorted(source.scan(), key=lambda item: path_order(item.path)):
        if item.problem is not None:
            continue
        try:
            with source.opened(item.path) as file:
                header = heads.read(file, path=item.path, size=item.size, version=item.version)
        except Rejected:
            continue
        if not header.format and header.has_pixels and not header.is_segmentation and header.series_uid:
            found[header.series_uid].append(image / os.fsdecode(decode_path(item.path)))
    if wanted:
        found = defaultdict(list, {uid: paths for uid, paths in found.items() if uid == wanted})
    if not found:
        raise ConfigError(f"{image}: no DICOM images{f' of series {wanted}' if wanted else ''}")
    return found


def _header(path: Path) -> Header:
    source = FolderSource(path.parent)
    try:
        with source.opened(path.name) as file:
            return Heads(after=1).read(file, path=path.name, size=file.size, version="")
    except Rejected as rejected:
        raise ConfigError(f"{path}: {_told(rejected.code)}") from None


def _told(code: str) -> str:
    return f"{code} ({REASONS[code].message})"
