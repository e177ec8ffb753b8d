from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.errors import ConfigError, Rejected
from medpipe.ops.expressions import MOST_STEPS, Expression

PATTERNS = (
    r"(?i)^gtv",
    r"(?i)gtv(?!.*node)",
    r"(?<=x)y",
    r"(?<!a)b",
    r"\bcord\b",
    r"\B-\B",
    r"[^a-c]{2,4}z?$",
    r"(?:ab?){2,3}\d",
    r"",
    r"^$",
    r"(?i)[A-C]x",
    r"(a?){3}b",
    r"((a|b)*c){2}",
    r"(?s)a.\Z",
    r"a.\Z",
    r"(?m)^b$",
    r"(?a)\w\W",
    r"\w\W\s\S\d\D",
    r"a{,3}$",
    r"(?i:A)b",
    r"(?i)(?-i:A)b",
    r"x*?y|z+",
    r"(a+)+$",
    r"(?i)[^A]é",
)
TEXTS = st.text(alphabet="aAbBcxyzZgtvnode 1_-\né", max_size=12)


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=60)
@given(text=TEXTS)
def test_what_is_found_is_what_re_finds(pattern, text):
    assert Expression(pattern).is_in(text) == bool(re.search(pattern, text))


ATOMS = st.sampled_from(["a", "b", ".", r"\w", "[ab]", "[^a]", "^", "$", r"\b", "(?=b)", "(?!a)"])


def grown(parts):
    return st.one_of(
        st.lists(parts, min_size=1, max_size=3).map("".join),
        st.tuples(parts, parts).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(parts, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    )


@settings(max_examples=300)
@given(pattern=st.recursive(ATOMS, grown, max_leaves=6), text=st.text(alphabet="ab ", max_size=7))
def test_any_composed_pattern_finds_what_re_finds(pattern, text):
    assert Expression(pattern).is_in(text) == bool(re.search(pattern, text))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(a+)+$", "a" * 200 + "b"),
        (r"^(a|aa)+$", "a" * 200 + "b"),
        (r"(.*)*(.*)*(.*)*x", "y" * 256),
        ("(" * 60 + "a" + "*)" * 60 + "b", "a" * 256),
        (r"^(?:(?:a?){1000}){1000}$", "a" * 200 + "b"),
        (".*" * 40 + "x", "z" * 256),
    ],
)
def test_patterns_that_make_re_hang_are_answered(pattern, text):
    assert not Expression(pattern).is_in(text)


def test_what_takes_too_many_steps_is_refused_the_same_way_each_time():
    nested = Expression(r"(?=(?=(?=.*x).*x).*x)q")
    for _ in range(2):
        with pytest.raises(Rejected, match="E_NAME_RULE"):
            nested.is_in("x" * 256)
    assert not nested.is_in("x" * 20)
    assert MOST_STEPS > 10_000


@pytest.mark.parametrize("pattern", ["(", "[b-a]", r"(a)\1", "(?>a)b", "a++b", "(" * 5000, "*a"])
def test_what_is_no_such_expression_is_refused_at_once(pattern):
    with pytest.raises(ConfigError, match="no "):
        Expression(pattern)
