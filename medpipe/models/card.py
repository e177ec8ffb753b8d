"""The card of a model: what it predicts, from which columns, how well, and proof rows.

A card is plain JSON beside the fitted estimator. Reading is strict: an unknown, missing or
mistyped field is an error, so a card of a later format is never half understood.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal

from medpipe.contracts.protocols import ScoreInput
from medpipe.errors import ConfigError
from medpipe.keys import as_float

FORMAT = 1
"""Version of the card's fields."""

ModelKind = Literal["classification", "regression"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput(ScoreInput):
    """One input of a trained model: its place, and how it was distributed in training.

    Attributes
    ----------
    extraction_digest : str
        Digest of the extraction the column was computed by.
    low, high, mean, sd : float
        Of the defined training values, in the column's unit; ``sd`` with denominator n.
    """

    extraction_digest: str
    low: float
    high: float
    mean: float
    sd: float

    @property
    def place(self) -> tuple[str, str]:
        """The image and the extraction: which feature row holds the column."""
        return self.image, self.extraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """What a model was trained on.

    Attributes
    ----------
    digest : str
        Digest of the training values, labels and grouping; no identity enters it.
    n_rows, n_groups : int
        Samples (regions) and groups (patients).
    """

    digest: str
    n_rows: int
    n_groups: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """An input row and what the model answered when it was packaged.

    Attributes
    ----------
    values : tuple of float
        One number per input, made of training means and deviations, of no patient's own.
    expected : tuple of float
        Probability of each class, or the one prediction of a regression.
    """

    values: tuple[float, ...]
    expected: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """All that is said of a model beside its fitted estimator.

    Attributes
    ----------
    name : str
        Lower-case letters, digits, ``_``, ``.`` and ``-``; at most 64.
    target : str
        What is predicted (``malignant``).
    kind : {"classification", "regression"}
    inputs : tuple of ModelInput
        In the order of the estimator's columns; all of one region.
    trained_on : Cohort
    classes : tuple of str
        In the order of the estimator's ``classes_``; empty for a regression.
    positive : str
        Class that ``threshold`` and the binary metrics speak of, or an empty string.
    algorithm : str
    seed : int
    imputes : bool
        The pipeline holds a fitted imputer, so that single missing inputs are tolerated.
    metrics : dict of str to float
        Out-of-fold metrics, split by patient; ``_lower`` and ``_upper`` are 95 % limits.
    threshold : float or None
        Probability of ``positive`` from which a caller may say yes; chosen out of fold.
    dropped : dict of str to str
        ``image/extraction/column`` left out in training, with the reason.
    proof : tuple of Proof
    sklearn_version : str
    demonstration : bool
        Trained to show the machinery; not for any conclusion.
    description : str
    format : int
    """

    name: str
    target: str
    kind: ModelKind
    inputs: tuple[ModelInput, ...]
    trained_on: Cohort
    classes: tuple[str, ...] = ()
    positive: str = ""
    algorithm: str = ""
    seed: int = 0
    imputes: bool = False
    metrics: dict[str, float] = field(default_factory=dict)
    threshold: float | None = None
    dropped: dict[str, str] = field(default_factory=dict)
    proof: tuple[Proof, ...] = ()
    sklearn_version: str = ""
    demonstration: bool = False
    description: str = ""
    format: int = FORMAT

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.format != FORMAT:
            raise ConfigError(f"model {self.name}: card format {self.format}; this version reads {FORMAT}")
        self._check_inputs()
        self._check_classes()

    @property
    def region(self) -> str:
        """Name of the region the model scores."""
        return self.inputs[0].region

    def to_json(self) -> dict[str, Any]:
        """Return the card as JSON values."""
        value: dict[str, Any] = asdict(self)
        return value

    @classmethod
    def from_json(cls, value: Any) -> ModelCard:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ConfigError
            For an unknown, missing or mistyped field; names it.
        """
        card: ModelCard = read_record(cls, value, "card")
        return card

    def _check_inputs(self) -> None:
        places = [(item.image, item.extraction, item.column) for item in self.inputs]
        if not places or len(set(places)) < len(places):
            raise ConfigError(f"model {self.name}: inputs must be there and differ from each other")
        if len({item.region for item in self.inputs}) > 1:
            raise ConfigError(f"model {self.name}: all inputs must come from one region")
        by_place: dict[tuple[str, str], str] = {}
        for item in self.inputs:
            if by_place.setdefault(item.place, item.extraction_digest) != item.extraction_digest:
                raise ConfigError(f"model {self.name}: extraction {item.extraction} has two digests")

    def _check_classes(self) -> None:
        if self.kind == "regression":
            if self.classes or self.positive:
                raise ConfigError(f"model {self.name}: a regression has no classes")
            return
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise ConfigError(f"model {self.name}: a classification needs two or more different classes")
        if self.positive and self.positive not in self.classes:
            raise ConfigError(f"model {self.name}: the positive class is none of the classes")


def check_name(name: str) -> None:
    """Check a model's name.

    Raises
    ------
    ConfigError
        If it has another form than ``[a-z0-9][a-z0-9_.-]*``, up to 64 characters.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"model name {name[:64]!r}: use lower-case letters, digits, '_', '.' and '-' (at most 64)")


def read_record(hint: Any, value: Any, where: str) -> Any:
    """Read a record of dataclasses from JSON values, strictly.

    Parameters
    ----------
    hint : type
        A dataclass.
    value
        JSON values.
    where : str
        How the message names the place of what is wrong.

    Raises
    ------
    ConfigError
        For an unknown, missing or mistyped field.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected a table")
    known = {item.name for item in fields(hint)}
    wrong = sorted(str(name)[:64] for name in known.symmetric_difference(value))
    if wrong:
        raise ConfigError(f"{where}.{wrong[0]}: {'missing' if wrong[0] in known else 'no such field'}")
    hints = typing.get_type_hints(hint)
    return hint(**{name: _read(hints[name], value[name], f"{where}.{name}") for name in sorted(known)})


def _read(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return read_record(hint, value, where)
    if origin is types.UnionType:
        return None if value is None else _read(arguments[0], value, where)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where}: expected one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: expected a list")
        return tuple(_read(arguments[0], item, f"{where}.{place}") for place, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a table")
        return {_read(str, name, where): _read(arguments[1], item, f"{where}.{name}") for name, item in value.items()}
    return _read_plain(hint, value, where)


def _read_plain(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = as_float(value)
    if type(value) is not hint:
        raise ConfigError(f"{where}: expected {hint.__name__}, found {type(value).__name__}")
    if hint is float and not math.isfinite(value):
        raise ConfigError(f"{where}: not a finite number")
    return value
