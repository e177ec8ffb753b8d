"""The card: what is written is read, and nothing else is."""

from __future__ import annotations

import json

import pytest

from medpipe.errors import ConfigError
from medpipe.keys import canonical
from medpipe.models.card import ModelCard


@pytest.fixture
def value(packages):
    return json.loads(canonical(packages["logistic"].card.to_json()))


def test_a_card_read_is_the_card_written(packages, value):
    assert ModelCard.from_json(value) == packages["logistic"].card


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"extra": 1}, "card.extra: no such field"),
        ({"seed": "0"}, "card.seed: expected int"),
        ({"imputes": 1}, "card.imputes: expected bool"),
        ({"kind": "magic"}, "card.kind: expected one of"),
        ({"metrics": {"auc": "high"}}, "card.metrics.auc: expected float"),
        ({"inputs": {}}, "card.inputs: expected a list"),
        ({"inputs": []}, "inputs must be there"),
        ({"classes": ["benign", "benign"]}, "two or more different classes"),
        ({"classes": ["benign"]}, "two or more different classes"),
        ({"positive": "none"}, "positive class"),
        ({"name": "../nodule"}, "model name"),
        ({"format": 2}, "card format 2"),
        ({"threshold": float("inf")}, "not a finite number"),
    ],
)
def test_a_wrong_field_is_one_clear_error(value, change, match):
    with pytest.raises(ConfigError, match=match):
        ModelCard.from_json(value | change)


def test_a_missing_field_is_named(value):
    del value["threshold"]
    with pytest.raises(ConfigError, match=r"card\.threshold: missing"):
        ModelCard.from_json(value)


def test_a_wrong_field_of_an_input_is_named_with_its_place(value):
    value["inputs"][1]["column_index"] = 3
    with pytest.raises(ConfigError, match=r"card\.inputs\.1\.column_index: no such field"):
        ModelCard.from_json(value)


def test_inputs_of_two_regions_are_refused(value):
    value["inputs"][1]["region"] = "body"
    with pytest.raises(ConfigError, match="one region"):
        ModelCard.from_json(value)


@pytest.mark.parametrize("text", [[], None, 3, "card"])
def test_what_is_no_table_is_no_card(text):
    with pytest.raises(ConfigError, match="expected a table"):
        ModelCard.from_json(text)
