"""Scoring: feature rows of a case in, ``scores`` records out, matched by name.

Every region is predicted alone, on one thread, so that a score depends neither on how many
regions a case has nor on how many processors the host has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from medpipe.contracts.protocols import ScoreInput
from medpipe.models.card import ModelCard, ModelKind

MAX_MISSING_SHARE = 0.2
"""Share of missing inputs above which no imputer is trusted to fill them."""

PLAUSIBLE = 1e30
"""Magnitude above which a value is no measurement: it counts as missing (float32 ends at 3e38)."""

Row = Mapping[str, Any]
_Place = tuple[str, str]


@dataclass(slots=True, kw_only=True, eq=False)
class SklearnScorer:
    """A scikit-learn model that scores regions by the names of its inputs.

    Implements :class:`medpipe.contracts.protocols.Scorer` (whose attributes are plain ones,
    which is why this record is not frozen).

    Attributes
    ----------
    name, digest : str
        Name and digest of the package.
    inputs : sequence of ScoreInput
        The card's inputs.
    card : ModelCard
    estimator : object
        Fitted; one column per input.
    notes : tuple of str
        What to tell about the loading, such as another version of scikit-learn.
    """

    name: str
    digest: str
    inputs: Sequence[ScoreInput]
    card: ModelCard
    estimator: Any
    notes: tuple[str, ...] = ()

    def __call__(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Return the scores of every region the model is for.

        Parameters
        ----------
        rows : sequence of mapping
            Feature rows of one case: ``region``, ``label``, ``image``, ``extraction``,
            ``extraction_digest`` and ``values`` (column to number or None).

        Returns
        -------
        list of dict
            By label, then in the order of the card's classes: ``region``, ``label``, ``model``,
            ``model_digest``, ``target``, ``class``, ``value``, ``lower``, ``upper``, ``status``.
            A region without a value is one record with its reason code as ``status``. A case
            without the model's region gives no record.
        """
        records: list[dict[str, Any]] = []
        for label, parts in _instances(rows, self.card.region):
            answer = self._answer(parts)
            if isinstance(answer, str):
                records.append(self._record(label, None, None, answer))
                continue
            classes: tuple[str | None, ...] = self.card.classes or (None,)
            records += [
                self._record(label, name, value, "ok") for name, value in zip(classes, answer.tolist(), strict=True)
            ]
        return records

    def _answer(self, parts: Sequence[Row]) -> np.ndarray[Any, Any] | str:
        """Return the answer for one region, or the code why there is none."""
        fault = self._fault(parts)
        if fault is not None:
            return fault
        values = self._values(parts)
        if self._misses(values):
            return "MISSING_FEATURE"
        answer = predict(self.estimator, values, self.card.kind)
        return answer if np.isfinite(answer).all() else "E_MODEL_INPUT"

    def _fault(self, parts: Sequence[Row]) -> str | None:
        """Return the code of rows of another extraction, or of two rows for one place."""
        wanted = {item.place: item.extraction_digest for item in self.card.inputs}
        seen: set[_Place] = set()
        for row in parts:
            place = (row["image"], row["extraction"])
            if place not in wanted:
                continue
            if place in seen or row["extraction_digest"] != wanted[place]:
                return "E_MODEL_INPUT"
            seen.add(place)
        return None

    def _values(self, parts: Sequence[Row]) -> np.ndarray[Any, Any]:
        by_place = {(row["image"], row["extraction"]): row["values"] for row in parts}
        return np.array([number(by_place.get(item.place, {}).get(item.column)) for item in self.card.inputs])

    def _misses(self, values: np.ndarray[Any, Any]) -> bool:
        share = float(np.isnan(values).mean())
        return share > (MAX_MISSING_SHARE if self.card.imputes else 0.0)

    def _record(self, label: int, name: str | None, value: float | None, status: str) -> dict[str, Any]:
        return {
            "region": self.card.region,
            "label": label,
            "model": self.name,
            "model_digest": self.digest,
            "target": self.card.target,
            "class": name,
            "value": value,
            "lower": None,
            "upper": None,
            "status": status,
        }


def number(value: float | None) -> float:
    """Return a feature value as float; NaN for None and for what is no plausible number."""
    if value is None or not abs(value) <= PLAUSIBLE:
        return float("nan")
    return float(value)


def predict(estimator: Any, values: np.ndarray[Any, Any], kind: ModelKind) -> np.ndarray[Any, Any]:
    """Return the answer to one row: a probability per class, or one prediction.

    Parameters
    ----------
    estimator : object
        Fitted scikit-learn estimator or pipeline.
    values : array of float64, shape (n_inputs,)
    kind : {"classification", "regression"}

    Returns
    -------
    array of float64, shape (n_classes,) or (1,)
    """
    row = np.asarray(values, dtype=np.float64).reshape(1, -1)
    with one_thread():
        answer = estimator.predict_proba(row)[0] if kind == "classification" else estimator.predict(row)
    return np.asarray(answer, dtype=np.float64).reshape(-1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS and OpenMP to one thread: sums in one order, whatever the host."""
    with _pools().limit(limits=1):
        yield


@cache
def _pools() -> Any:
    import sklearn.linear_model  # noqa: F401  # its thread pools must be loaded to be found
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # ships no types

    return ThreadpoolController()


def _instances(rows: Sequence[Row], region: str) -> list[tuple[int, list[Row]]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        if row["region"] == region:
            found.setdefault(int(row["label"]), []).append(row)
    return sorted(found.items())
