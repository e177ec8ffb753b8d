from __future__ import annotations

from fractions import Fraction
from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.errors import ConfigError
from medpipe.ops.fitting import NYUL, QUANTILES, freeze, merge, observe

ROWS = st.lists(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=4, max_size=4, unique=True).map(sorted), min_size=2, max_size=7
)


def test_landmarks_are_mapped_to_the_standard_scale_by_hand():
    state = observe([100.0, 150.0, 200.0], kind=NYUL)
    assert state.sums == (1, Fraction(101, 2), 100)
    both = merge(state, observe([0.0, 1.0, 4.0], kind=NYUL))
    assert both.count == 2
    assert freeze(both, kind=NYUL) == (1.0, (50.5 + 25.75) / 2, 100.0)


def test_quantiles_keep_their_unit():
    both = merge(observe([1.0, 2.0, 3.0], kind=QUANTILES), observe([2.0, 2.0, 6.0], kind=QUANTILES))
    assert freeze(both, kind=QUANTILES) == (1.5, 2.0, 4.5)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.randoms(use_true_random=False), st.sampled_from([NYUL, QUANTILES]))
def test_no_order_and_no_dealing_out_changes_a_bit(rows, random, kind):
    states = [observe(row, kind=kind) for row in rows]
    once = reduce(merge, states)
    random.shuffle(states)
    cut = random.randint(1, len(states) - 1)
    dealt = merge(reduce(merge, states[:cut]), reduce(merge, states[cut:]))
    assert dealt == once
    mean = tuple(float(sum(Fraction(state.sums[k]) for state in states) / len(rows)) for k in range(4))
    assert once.count == len(rows)
    if kind == QUANTILES:
        assert freeze(once, kind=kind) == mean


def test_sums_in_floating_point_would_depend_on_the_order():
    rows = [[0.0, 0.1 * k, 7.0] for k in range(1, 6)]
    means = {reduce(float.__add__, [row[1] for row in order]) / 5 for order in permutations(rows)}
    exact = {
        freeze(reduce(merge, [observe(r, kind=QUANTILES) for r in order]), kind=QUANTILES)
        for order in permutations(rows)
    }
    assert len(means) > 1
    assert len(exact) == 1


@pytest.mark.parametrize("row", [[1.0, 1.0], [2.0, 1.0, 3.0], [1.0]])
def test_landmarks_that_do_not_rise_are_refused(row):
    with pytest.raises(ConfigError, match="must rise"):
        observe(row, kind=NYUL)


def test_a_standard_must_rise_and_be_of_one_kind():
    flat = observe([0.0, 0.0, 1.0], kind=NYUL)
    with pytest.raises(ConfigError, match="do not rise"):
        freeze(flat, kind=NYUL)
    with pytest.raises(ConfigError, match="different landmarks"):
        merge(flat, observe([0.0, 1.0], kind=NYUL))
