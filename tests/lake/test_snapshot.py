from dataclasses import replace

import pytest

from medpipe.errors import IntegrityError
from medpipe.lake.committed import Committed
from medpipe.lake.snapshot import (
    RangeCases,
    Snapshot,
    has_range,
    has_snapshot,
    put_range,
    range_cases,
    read_range,
    read_snapshot,
    snapshot_of_run,
    write_snapshot,
)
from medpipe.lake.sums import read_with_sum
from medpipe.ranges import range_of

BITS = 2


@pytest.fixture
def end(lake, make_result):
    """Return a function that ends a run over cases 0 to 9, of which 3 failed, and volume "00" left out."""
    results = [make_result(number, status="failed" if number == 3 else "done") for number in range(10)]
    pairs = [(result.case.case_key, result.case.volume_key) for result in results] + [("", "00" * 16)]

    def write(*, run="run-1", planned=pairs, keep=results, skipped=None, recipe_digest="ab", bits=BITS):
        committed = Committed(lake)
        for result in keep:
            committed.add(result)
        skipped = {"00" * 16: "S_NO_ROUTE"} if skipped is None else skipped
        entries = []
        for number in range(1 << bits):
            here = [pair for pair in planned if range_of(pair[1], bits).number == number]
            left_out = {key: code for key, code in skipped.items() if range_of(key, bits).number == number}
            cases = range_cases(here, committed, left_out)
            put_range(lake, cases)
            entries.append(cases.entry(number))
        snapshot = Snapshot(recipe_name="demo", recipe_digest=recipe_digest, bits=bits, ranges=tuple(entries))
        write_snapshot(lake, snapshot, run=run)
        return snapshot

    write.pairs, write.results = pairs, results
    return write


def test_a_snapshot_accounts_for_everything_planned(lake, end):
    snapshot = end()
    assert snapshot.counts == {"planned": 11, "committed": 9, "quarantined": 1, "skipped": 1}
    assert read_snapshot(lake, snapshot.id) == snapshot
    assert snapshot_of_run(lake, "run-1") == snapshot.id
    assert snapshot_of_run(lake, "run-2") is None
    assert has_snapshot(lake, snapshot.id)
    assert not has_snapshot(lake, "0" * 32)


def test_every_case_lies_in_its_own_range_and_in_no_other(lake, end):
    snapshot = end()
    found = {number: read_range(lake, snapshot, number) for number in range(1 << BITS)}
    for number, cases in found.items():
        assert all(range_of(case.volume_key, BITS).number == number for case in cases.cases)
        assert all(range_of(key, BITS).number == number for key in cases.skipped)
    keys = [case.case_key for cases in found.values() for case in cases.cases]
    assert sorted(keys) == sorted(key for key, _ in end.pairs if key)
    assert found[0].skipped == {"00" * 16: "S_NO_ROUTE"}


def test_equal_states_have_one_id_whatever_run_order_and_cost(lake, end, make_result):
    first = end()
    dearer = [make_result(n, wall_s=9.0, run="run-2", attempts=2) for n in range(3)] + end.results[3:]
    second = end(run="run-2", planned=end.pairs[::-1], keep=dearer[::-1])
    assert second == first
    assert len([path for path in lake.store.list("objects/snapshots") if "/ranges/" not in path]) == 1


def test_who_names_ranges_in_another_order_or_empty_ones_has_the_same_snapshot(end):
    snapshot = end()
    empty = RangeCases(cases=(), skipped={})
    assert {one.number for one in end(bits=6, run="b").ranges} < set(range(1 << 6))
    fewer = replace(snapshot, ranges=snapshot.ranges[:1])
    for ranges in (
        (*snapshot.ranges[:1], empty.entry(1)),
        (empty.entry(3), *map(tuple, snapshot.ranges[:1]), empty.entry(2)),
    ):
        assert replace(snapshot, ranges=ranges) == fewer
        assert replace(snapshot, ranges=ranges).id == fewer.id


def test_another_result_rule_recipe_or_cut_is_another_snapshot(end, make_result):
    other = [*end.results[:2], make_result(2, numeric_class="x"), *end.results[3:]]
    found = {
        end(run="a").id,
        end(run="b", keep=other).id,
        end(run="c", skipped={"00" * 16: "S_LIMIT"}).id,
        end(run="d", recipe_digest="cd").id,
        end(run="e", bits=3).id,
    }
    assert len(found) == 5


def test_snapshots_share_the_ranges_in_which_nothing_changed(lake, end, make_result):
    first = end()
    second = end(run="b", keep=[*end.results[:2], make_result(2, numeric_class="x"), *end.results[3:]])
    changed = range_of(make_result(2).case.volume_key, BITS).number
    assert [one.number for one in first.ranges if one not in second.ranges] == [changed]
    stored = list(lake.store.list("objects/snapshots/ranges"))
    assert len(stored) == len(set(first.ranges) | set(second.ranges))


def test_a_case_without_an_outcome_is_an_alarm(lake, end):
    with pytest.raises(IntegrityError, match=r"1 of \d planned volumes have no outcome"):
        end(keep=end.results[:9])
    assert snapshot_of_run(lake, "run-1") is None


def test_what_is_skipped_must_be_planned_and_what_is_planned_only_once(end):
    with pytest.raises(IntegrityError, match="never planned"):
        end(skipped={"00" * 16: "S_LIMIT", "01" * 16: "S_LIMIT"})
    with pytest.raises(IntegrityError, match="planned twice"):
        end(planned=[*end.pairs, end.pairs[0]])


def test_a_snapshot_that_does_not_add_up_or_names_a_range_twice_cannot_be_made(end):
    snapshot = end()
    first = snapshot.ranges[0]
    with pytest.raises(IntegrityError, match="are not"):
        replace(snapshot, ranges=(first._replace(committed=first.committed + 1),))
    with pytest.raises(IntegrityError, match="names a range twice"):
        replace(snapshot, ranges=(first, first._replace(digest="0" * 32)))
    with pytest.raises(IntegrityError, match="names a range twice"):
        replace(snapshot, ranges=(first._replace(number=1 << BITS),))


def test_a_snapshot_is_written_only_when_its_ranges_are_stored(lake, end):
    snapshot = end()
    lake.store.absolute(lake.layout.snapshot_range(snapshot.ranges[0].digest)).unlink()
    assert not has_range(lake, snapshot.ranges[0].digest)
    with pytest.raises(IntegrityError, match="not stored"):
        write_snapshot(lake, snapshot, run="run-2")
    assert snapshot_of_run(lake, "run-2") is None


def test_a_run_ends_once(end, make_result):
    snapshot = end()
    assert end() == snapshot
    with pytest.raises(IntegrityError, match="ended with another snapshot"):
        end(skipped={"00" * 16: "S_LIMIT"})


def test_a_damaged_or_missing_snapshot_is_an_alarm(lake, end):
    first, second = end(), end(run="run-2", skipped={"00" * 16: "S_LIMIT"})
    path = lake.store.absolute(f"objects/snapshots/{first.id}.json.zst")
    whole = path.read_bytes()
    other = lake.store.get(f"objects/snapshots/{second.id}.json.zst")
    for damaged in (whole[:-3], b"", other):
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError):
            read_snapshot(lake, first.id)
    path.unlink()
    with pytest.raises(IntegrityError):
        read_snapshot(lake, first.id)


def test_a_damaged_or_missing_range_is_an_alarm(lake, end):
    snapshot = end()
    first, second = snapshot.ranges[:2]
    path = lake.store.absolute(lake.layout.snapshot_range(first.digest))
    whole = path.read_bytes()
    for damaged in (whole[:-3], b"", lake.store.get(lake.layout.snapshot_range(second.digest))):
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError, match="missing or damaged"):
            read_range(lake, snapshot, first.number)
    path.unlink()
    with pytest.raises(IntegrityError, match="missing or damaged"):
        read_range(lake, snapshot, first.number)


def test_a_run_names_its_snapshot_and_counts(lake, end):
    snapshot = end()
    assert read_with_sum(lake.store.get("runs/run-1/SNAPSHOT"), "") == {"snapshot": snapshot.id, **snapshot.counts}
