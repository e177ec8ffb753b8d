"""Packages: one fit, one digest; read back, proven, and never half written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from medpipe.errors import ConfigError, IntegrityError, SecurityError
from medpipe.keys import canonical
from medpipe.models.card import Proof
from medpipe.models.package import MODEL_FILE, Package, load, pack, read_package, write_package
from medpipe.models.packed import CARD_FILE
from medpipe.models.train import train

from .cohort import feature_row, make_cohort, make_spec


def with_card(package, **changes):
    text = canonical(replace(package.card, **changes).to_json()).encode()
    return Package({MODEL_FILE: package.files[MODEL_FILE], CARD_FILE: text})


@pytest.mark.parametrize("algorithm", ["logistic", "gradient_boosting", "svm"])
def test_training_twice_gives_the_same_digest(algorithm, cohort, packages):
    again = train(*cohort, spec=make_spec(algorithm=algorithm, folds=3))
    assert again.digest == packages[algorithm].digest


def test_another_process_later_gives_the_same_digest(packages):
    code = (
        "from tests.models.cohort import make_cohort, make_spec; from medpipe.models.train import train;"
        "print(train(*make_cohort(), spec=make_spec(algorithm='random_forest', folds=3)).digest)"
    )
    root = Path(__file__).resolve().parents[2]
    time.sleep(0.01)
    environment = dict(os.environ) | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, check=True)
    assert done.stdout.decode().strip() == packages["random_forest"].digest


def test_a_package_read_is_the_package_written(packages, tmp_path):
    write_package(packages["logistic"], tmp_path / "models" / "m")
    again = read_package(tmp_path / "models" / "m")
    assert again.digest == packages["logistic"].digest
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["m"]


def test_writing_again_is_harmless_and_writing_another_is_refused(packages, tmp_path):
    write_package(packages["logistic"], tmp_path / "m")
    write_package(packages["logistic"], tmp_path / "m")
    with pytest.raises(IntegrityError, match="another model"):
        write_package(packages["svm"], tmp_path / "m")


def test_the_digest_covers_the_card(packages):
    assert with_card(packages["logistic"], description="other").digest != packages["logistic"].digest


def test_a_folder_with_other_files_is_no_package(packages, tmp_path):
    write_package(packages["logistic"], tmp_path / "m")
    (tmp_path / "m" / "model.pkl").write_bytes(b"")
    with pytest.raises(ConfigError, match="nothing else"):
        read_package(tmp_path / "m")
    with pytest.raises(ConfigError, match="no model package"):
        read_package(tmp_path / "none")


def test_a_linked_file_is_refused(packages, tmp_path):
    write_package(packages["logistic"], tmp_path / "m")
    (tmp_path / "m" / MODEL_FILE).rename(tmp_path / "elsewhere")
    (tmp_path / "m" / MODEL_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SecurityError, match="link"):
        read_package(tmp_path / "m")


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff", b"{" * 100_000])
def test_a_card_that_is_none_is_a_clear_error(packages, text):
    with pytest.raises(ConfigError):
        load(Package({MODEL_FILE: packages["logistic"].files[MODEL_FILE], CARD_FILE: text}))


def test_a_model_behind_another_card_is_refused(packages):
    card = packages["logistic"].card
    with pytest.raises(ConfigError, match="other inputs"):
        load(with_card(packages["logistic"], inputs=card.inputs[:-1]))
    with pytest.raises(ConfigError, match="classes"):
        load(with_card(packages["logistic"], classes=("malignant", "benign")))


def test_a_model_that_answers_otherwise_is_an_integrity_error(packages):
    card = packages["logistic"].card
    wrong = tuple(replace(proof, expected=(0.5, 0.5)) for proof in card.proof)
    for proof in (wrong, (), (Proof(values=(1.0,), expected=(0.5, 0.5)),)):
        with pytest.raises(IntegrityError, match="answers"):
            load(with_card(packages["logistic"], proof=proof))


def test_another_scikit_learn_is_accepted_if_its_answers_are_the_same(packages):
    scorer = load(with_card(packages["logistic"], sklearn_version="1.6.0"))
    assert scorer.notes
    assert "1.6.0" in scorer.notes[0]
    assert load(packages["logistic"]).notes == ()


def test_another_scikit_learn_with_other_answers_is_refused(packages):
    wrong = tuple(replace(proof, expected=(0.5, 0.5)) for proof in packages["logistic"].card.proof)
    with pytest.raises(ConfigError, match="train it again"):
        load(with_card(packages["logistic"], sklearn_version="1.6.0", proof=wrong))


def test_proof_rows_are_no_patient_s_values(cohort, packages):
    seen = {value for row in cohort[0] for value in row["values"].values() if value is not None}
    for proof in packages["logistic"].card.proof:
        assert not seen & set(proof.values)


def test_no_pseudonym_is_in_a_package(packages):
    text = packages["logistic"].files[CARD_FILE].decode()
    assert json.loads(text)
    assert not any(f'"{key}"' in text for key in ("p0", "p1", "r0-0", "r1-1"))


def test_a_score_is_the_estimator_s_own_probability(cohort, packages):
    scorer = load(packages["logistic"])
    row = next(row for row in cohort[0] if None not in [row["values"][item.column] for item in scorer.inputs])
    matrix = np.array([[row["values"][item.column] for item in scorer.inputs]])
    expected = scorer.estimator.predict_proba(matrix)[0]
    assert [record["value"] for record in scorer([row])] == expected.tolist()


def test_a_forest_trained_on_many_threads_scores_on_one(cohort, packages):
    card = packages["random_forest"].card
    x = np.random.default_rng(0).normal(size=(60, len(card.inputs)))
    forest = RandomForestClassifier(n_estimators=30, n_jobs=2, random_state=0).fit(
        x, np.where(x[:, 0] > 0, *card.classes)
    )
    scorer = load(pack(forest, card))
    assert scorer.estimator.n_jobs == 1
    assert forest.n_jobs == 2


def test_a_cohort_that_differs_in_one_value_gives_another_digest(packages):
    rows, labels, groups = make_cohort()
    rows[3] = feature_row(rows[3]["values"] | {"stat_mean": 1.25}, key=rows[3]["region_key"])
    other = train(rows, labels, groups, spec=make_spec(folds=3))
    assert other.card.trained_on.digest != packages["logistic"].card.trained_on.digest
