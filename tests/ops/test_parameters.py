from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from medpipe.errors import ConfigError
from medpipe.ops.parameters import Pairs, build, changed, json_schema, parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    size: int = parameter(3, doc="A size.", unit="voxel", low=1, high=9)
    width: float = parameter(doc="A width.", unit="mm", above=0.0)
    step: tuple[float, float] = parameter((1.0, 1.0), doc="Steps.")
    kind: Literal[0, 1, "x"] = parameter(0, doc="A kind.")
    map: Pairs = parameter((), doc="A table.")  # noqa: RUF009  # declares a field


def test_a_table_becomes_pairs_in_its_order():
    made = build(Sample, {"width": 1, "map": {"b": "1", "a": "2"}}, "here")
    assert made == Sample(width=1.0, map=(("b", "1"), ("a", "2")))


def test_a_spec_builds_the_same_op():
    made = Sample(width=2.0, map=(("b", "1"),), step=(0.5, 2.0), kind="x")
    assert changed(made) == {"width": 2.0, "map": [["b", "1"]], "step": [0.5, 2.0], "kind": "x"}
    assert build(Sample, changed(made), "here") == made


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": 1.0, "sise": 3}, r"r\.0\.sise: no such parameter"),
        ({}, r"r\.0\.width: required"),
        ({"width": 0.0}, r"r\.0\.width: 0.0 is not above"),
        ({"width": float("nan")}, r"r\.0\.width: nan is no finite"),
        ({"width": 10**400}, r"r\.0\.width: inf is no finite"),
        ({"width": -(10**400)}, r"r\.0\.width: -inf is no finite"),
        ({"width": "1"}, r"r\.0\.width: expected a number"),
        ({"width": 1.0, "size": 10}, r"r\.0\.size: 10 is above 9"),
        ({"width": 1.0, "size": True}, r"r\.0\.size: expected a whole number"),
        ({"width": 1.0, "step": [1.0]}, r"r\.0\.step: expected 2 values"),
        ({"width": 1.0, "kind": True}, r"r\.0\.kind: True is none of"),
        ({"width": 1.0, "map": {"a": 1}}, r"r\.0\.map\.0\.1: expected text"),
        ({"width": 1.0, "map": "a"}, r"r\.0\.map: expected a list"),
    ],
)
def test_a_mistake_is_one_error_with_its_path(given, message):
    with pytest.raises(ConfigError, match=message):
        build(Sample, given, "r.0")


def test_the_schema_says_what_is_checked():
    schema = json_schema(Sample)
    assert schema["required"] == ["width"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["size"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
        "description": "A size. [voxel]",
        "default": 3,
    }
    assert schema["properties"]["map"]["additionalProperties"] == {"type": "string"}
