import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medpipe.lake.marks import Least, Marks, mark_of

TOKENS = st.sampled_from([f"{number:016x}" + "0" * 16 for number in (0, 1, 2**63, 2**64 - 1)])
FOUND = st.dictionaries(st.integers(0, 5), st.dictionaries(TOKENS, st.integers(-3, 800_000), max_size=4), max_size=4)


def plain(found):
    return {(number, token, value) for number, one in found.items() for token, value in one.items()}


@given(old=FOUND, new=FOUND, ranges=st.sets(st.integers(0, 5)))
def test_ranges_are_replaced_and_others_stay(old, new, ranges):
    new = {number: one for number, one in new.items() if number in ranges}
    marks = Marks().replaced(None, old).replaced(ranges, new)
    expected = {mark for mark in plain(old) if mark[0] not in ranges} | plain(new)
    assert {
        (int(row["range"]), f"{int(row['token']):016x}" + "0" * 16, int(row["value"])) for row in marks.rows
    } == expected
    for _, token, _ in plain(old) | plain(new):
        assert marks.ranges_of(token) == sorted({number for number, one, _ in expected if one == token})


@given(old=FOUND, new=FOUND, asked=st.sets(st.integers(0, 5)))
def test_marks_tell_what_ranges_have_and_in_which_they_differ(old, new, asked):
    before, after = (Marks().replaced(None, found) for found in (old, new))

    def tokens(found, numbers):
        return {(number, mark_of(token)) for number in numbers for token in found.get(number, ())}

    here = {token for _, token in tokens(new, asked)}
    assert {int(token) for token in after.tokens_of(asked)} == here
    assert after.ranges_with(after.tokens_of(asked)) == sorted(
        {number for number, token in tokens(new, range(6)) if token in here}
    )
    differing = {token for _, token in tokens(old, asked) ^ tokens(new, asked)}
    assert {int(token) for token in after.differing(before, asked)} == differing


@given(found=FOUND)
def test_equal_marks_are_equal_bytes_and_come_back(found):
    marks = Marks().replaced(None, found)
    other = Marks()
    for number, one in reversed(found.items()):
        other = other.replaced([number], {number: one})
    assert other.to_bytes() == marks.to_bytes()
    assert np.array_equal(Marks.from_bytes(marks.to_bytes()).rows, marks.rows)


@given(first=FOUND, second=FOUND)
def test_the_least_number_is_that_over_all_marks(first, second):
    sets = [Marks().replaced(None, found) for found in (first, second)]
    least = Least(sets)
    values = [(token, value) for _, token, value in plain(first) | plain(second)]
    for token, _ in values:
        assert least.of(token) == min(value for one, value in values if one == token)
    assert least.of("f" * 15 + "0" + "0" * 16) is None


def test_the_bytes_of_tokens_tell_their_least_numbers():
    one = Marks().replaced(None, {0: {"a" * 16: 5}, 3: {"b" * 16: 7}})
    earlier = Marks().replaced(None, {1: {"b" * 16: 6}})
    before, after = Least([one]), Least([one, earlier])
    assert before.bytes_of(one.within(0, 2)) == after.bytes_of(one.within(0, 2))
    assert before.bytes_of(one.within(3, 3)) != after.bytes_of(one.within(3, 3))
    assert len(one.within(1, 2)) == 0
