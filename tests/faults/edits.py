"""Changes of a series' files that many faults are made of."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from tests.faults.registry import named
from tests.faults.series import Series, to_bytes, uid
from tests.faults.verdicts import Check, Planted, tells_strays, without


def planted(series: Series, rng: np.random.Generator, check: Check, *, n_volumes: int = 1) -> Planted:
    """Return the files of a series, shuffled, with the check of what must be told."""
    return Planted(named(series, rng), check, n_volumes)


def edited(series: Series, indices: Iterable[int] | None = None, **elements: Any) -> Series:
    """Return the series with elements of some files set, or taken out where None; of all without indices."""
    changed = series.changed()
    for index in range(len(series.files)) if indices is None else indices:
        put(changed.files[index], elements)
    return changed


def one_refused(series: Series, rng: np.random.Generator, code: str, **elements: Any) -> Planted:
    """Return the series with elements of one file changed, and the check that it alone is refused, as the rest says."""
    index = anywhere(series, rng)
    return planted(edited(series, [index], **elements), rng, without(series, [index], code, apart=tells_strays))


def put(dataset: Dataset, elements: Mapping[str, Any]) -> None:
    """Set elements of a data set; None takes one out."""
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            delattr(dataset, keyword)


def garbled(files: Mapping[str, bytes], said: bytes, other: bytes) -> Mapping[str, bytes]:
    """Return files with a value written as bytes that pydicom would not write."""
    assert len(said) == len(other)
    assert any(said in data for data in files.values())
    return {path: data.replace(said, other) for path, data in files.items()}


def inner(series: Series, rng: np.random.Generator, count: int = 1) -> list[int]:
    """Return slices that have neighbours on both sides, no two of them adjacent."""
    places = np.arange(1, len(series) - 1)
    while True:
        drawn = np.sort(rng.choice(places, count, replace=False))
        if count == 1 or np.diff(drawn).min() > 1:
            return [int(index) for index in drawn]


def anywhere(series: Series, rng: np.random.Generator) -> int:
    """Return a slice."""
    return int(rng.integers(len(series)))


def moved(series: Series, places: np.ndarray) -> Series:
    """Return the series with its slices elsewhere, as its files say too."""
    changed = series.changed(places=places)
    if series.kind == "enhanced":
        groups = changed.files[0].PerFrameFunctionalGroupsSequence
        holders = [group.PlanePositionSequence[0] for group in groups]
    else:
        holders = list(changed.files)
    for index, holder in enumerate(holders):
        holder.ImagePositionPatient = [f"{value:.9g}" for value in places[index % len(places)]]
    return changed


def renamed(series: Series, *, salt: str) -> Series:
    """Return the series with other instance UIDs."""
    changed = series.changed()
    for index, dataset in enumerate(changed.files):
        dataset.SOPInstanceUID = uid(salt, series.seed, index)
    return changed


def with_files(series: Series, rng: np.random.Generator, more: Mapping[str, bytes], check: Check) -> Planted:
    """Return the files of a series and others beside them."""
    files = {**named(series, rng), **more}
    paths = list(files)
    rng.shuffle(paths)
    return Planted({path: files[path] for path in paths}, check)


def packed(dataset: Dataset, syntax: str) -> Dataset:
    """Return a copy of a data set, compressed without loss."""
    changed = copy.deepcopy(dataset)
    changed.compress(syntax, generate_instance_uid=False)
    return changed


def as_bytes(dataset: Dataset, **elements: Any) -> bytes:
    """Return a changed copy of a data set as a file."""
    changed = copy.deepcopy(dataset)
    put(changed, elements)
    return to_bytes(changed)
