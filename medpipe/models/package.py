"""A model package: a skops file and a card under one digest.

Two files, ``model.skops`` and ``card.json``, are the whole of a model. The digest over both
pins it in recipes and names it in every score. A package carries proof rows: inputs with the
answers given when it was made, asked again each time it is loaded. So another version of
scikit-learn is accepted if, and only if, it still gives the same answers.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from medpipe.errors import ConfigError, IntegrityError, SecurityError
from medpipe.keys import canonical
from medpipe.models import skops_file
from medpipe.models.card import ModelCard, Proof
from medpipe.models.packed import CARD_FILE, Packed
from medpipe.models.score import SklearnScorer, predict

MODEL_FILE = "model.skops"

PROOF_TOLERANCE = 1e-9
"""Largest difference of a proof row's answer, relative above 1."""


@dataclass(frozen=True)
class Package(Packed):
    """A model's files.

    Attributes
    ----------
    files : mapping of str to bytes
        Exactly ``model.skops`` and ``card.json``.
    """

    what: ClassVar[str] = "a model package"
    model_file: ClassVar[str] = MODEL_FILE

    @cached_property
    def card(self) -> ModelCard:
        """The card, read strictly.

        Raises
        ------
        ConfigError
            If the card cannot be read or a field of it is wrong.
        """
        return ModelCard.from_json(self.read_card())


def pack(estimator: Any, card: ModelCard) -> Package:
    """Package a fitted scikit-learn estimator with its card.

    Proof rows and the version of scikit-learn are filled in here.

    Parameters
    ----------
    estimator : object
        Fitted; one input column per ``card.inputs``, in that order.
    card : ModelCard

    Raises
    ------
    ConfigError
        If the estimator does not fit the card, or skops cannot hold it.
    SecurityError
        If the estimator holds a type that is not trusted.
    """
    import sklearn

    _check_fit(estimator, card)
    data = skops_file.dump(estimator)
    loaded = skops_file.load(data)  # what was written answers, not what was given
    proof = tuple(
        Proof(values=tuple(map(float, row)), expected=tuple(map(float, predict(loaded, row, card.kind))))
        for row in _proof_rows(card)
    )
    full = replace(card, proof=proof, sklearn_version=str(sklearn.__version__))
    text = canonical(full.to_json()).encode("ascii")
    return Package({MODEL_FILE: data, CARD_FILE: text})


def load(package: Package) -> SklearnScorer:
    """Return the scorer of a package.

    Raises
    ------
    SecurityError
        If the model file holds anything that is not trusted.
    ConfigError
        If the card is wrong, does not fit the model, or the model was made with another
        version of scikit-learn and gives other answers here.
    IntegrityError
        If the model gives other answers with the very version it was made with.
    """
    import sklearn

    card = package.card
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions: the proof rows decide
        estimator = skops_file.load(package.files[MODEL_FILE])
        _check_fit(estimator, card)
        proven = _proven(estimator, card)
    here = str(sklearn.__version__)
    notes: tuple[str, ...] = ()
    if card.sklearn_version != here:
        versions = f"made with scikit-learn {card.sklearn_version[:32]}, loaded with {here}"
        if not proven:
            raise ConfigError(f"model {card.name}: {versions}, which answers differently; train it again")
        notes = (f"model {card.name}: {versions}; its proof rows agree",)
    elif not proven:
        raise IntegrityError(f"model {card.name}: it does not give the answers its card records")
    return SklearnScorer(
        name=card.name, digest=package.digest, inputs=card.inputs, card=card, estimator=estimator, notes=notes
    )


def write_package(package: Package, folder: Path) -> None:
    """Write a package to a new folder, all or nothing.

    Raises
    ------
    IntegrityError
        If the folder is there already with other content.
    """
    if folder.exists():
        if read_package(folder).digest != package.digest:
            raise IntegrityError("another model is in this folder already")
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    try:
        for name, data in package.files.items():
            with (aside / name).open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        aside.chmod(0o755)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def read_package(folder: Path) -> Package:
    """Read a package's files; nothing of them is built or run.

    Raises
    ------
    ConfigError
        If the folder is missing or holds other files.
    SecurityError
        If a file is a link, is not regular or is too large.
    """
    if not folder.is_dir():
        raise ConfigError("no model package in this folder")
    paths = sorted(folder.iterdir())
    if {path.name for path in paths} != {MODEL_FILE, CARD_FILE}:
        raise ConfigError(f"a model package holds {MODEL_FILE} and {CARD_FILE}, and nothing else")
    for path in paths:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > skops_file.MAX_BYTES:
            raise SecurityError(f"model package: {path.name} is a link, no regular file or too large")
    return Package({path.name: path.read_bytes() for path in paths})


def _proof_rows(card: ModelCard) -> tuple[np.ndarray[Any, Any], ...]:
    mean = np.array([item.mean for item in card.inputs])
    sd = np.array([item.sd for item in card.inputs])
    sign = np.where(np.arange(mean.size) % 2 == 0, 1.0, -1.0)
    return mean, mean + sd, mean - sd, mean + sign * sd, mean - sign * sd


def _proven(estimator: Any, card: ModelCard) -> bool:
    return bool(card.proof) and all(_holds(estimator, card, proof) for proof in card.proof)


def _holds(estimator: Any, card: ModelCard, proof: Proof) -> bool:
    try:
        answer = predict(estimator, np.array(proof.values), card.kind)
    except Exception:  # noqa: BLE001  # another version's state, or a hostile one, fails in any way
        return False
    expected = np.array(proof.expected)
    same_shape = answer.shape == expected.shape
    return same_shape and np.allclose(answer, expected, rtol=PROOF_TOLERANCE, atol=PROOF_TOLERANCE)


def _check_fit(estimator: Any, card: ModelCard) -> None:
    if getattr(estimator, "n_features_in_", None) != len(card.inputs):
        raise ConfigError(f"model {card.name}: the estimator takes other inputs than the card names")
    if card.kind == "regression":
        return
    classes = tuple(str(item) for item in getattr(estimator, "classes_", ()))
    if classes != card.classes or not hasattr(estimator, "predict_proba"):
        raise ConfigError(f"model {card.name}: the estimator gives no probabilities of the card's classes")
