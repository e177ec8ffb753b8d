import pytest

from medpipe.errors import IntegrityError
from medpipe.lake.committed import Committed
from medpipe.lake.snapshot import make_snapshot, read_snapshot, snapshot_of_run, write_snapshot


@pytest.fixture
def end(lake, make_result):
    """Return a function that ends a run over cases 0 to 3, of which 3 failed, and volume "v" left out."""
    results = [make_result(number, status="failed" if number == 3 else "done") for number in range(4)]
    pairs = [(result.case.case_key, result.case.volume_key) for result in results] + [("", "v")]

    def write(*, run="run-1", planned=pairs, keep=results, skipped=None, recipe_digest="ab"):
        committed = Committed(lake)
        for result in keep:
            committed.add(result)
        snapshot = make_snapshot(
            recipe_name="demo",
            recipe_digest=recipe_digest,
            planned=planned,
            committed=committed,
            skipped={"v": "S_NO_ROUTE"} if skipped is None else skipped,
        )
        write_snapshot(lake, snapshot, run=run)
        return snapshot

    write.pairs, write.results = pairs, results
    return write


def test_a_snapshot_accounts_for_everything_planned(lake, end):
    snapshot = end()
    assert snapshot.counts == {"planned": 5, "committed": 3, "quarantined": 1, "skipped": 1}
    assert read_snapshot(lake, snapshot.id) == snapshot
    assert snapshot_of_run(lake, "run-1") == snapshot.id
    assert snapshot_of_run(lake, "run-2") is None


def test_equal_states_have_one_id_whatever_run_order_and_cost(lake, end, make_result):
    first = end()
    dearer = [make_result(n, wall_s=9.0, run="run-2", attempts=2) for n in range(3)] + end.results[3:]
    second = end(run="run-2", planned=end.pairs[::-1], keep=dearer[::-1])
    assert second == first
    assert len(list(lake.store.list("objects/snapshots"))) == 1


def test_another_result_rule_or_recipe_is_another_snapshot(end, make_result):
    other = [*end.results[:2], make_result(2, numeric_class="x"), end.results[3]]
    found = {
        end(run="a").id,
        end(run="b", keep=other).id,
        end(run="c", skipped={"v": "S_LIMIT"}).id,
        end(run="d", recipe_digest="cd").id,
    }
    assert len(found) == 4


def test_a_case_without_an_outcome_is_an_alarm(lake, end):
    with pytest.raises(IntegrityError, match="1 of 5 planned volumes have no outcome"):
        end(keep=end.results[:3])
    assert snapshot_of_run(lake, "run-1") is None


def test_what_is_skipped_must_be_planned_and_what_is_planned_only_once(end):
    with pytest.raises(IntegrityError, match="never planned"):
        end(skipped={"v": "S_LIMIT", "w": "S_LIMIT"})
    with pytest.raises(IntegrityError, match="planned twice"):
        end(planned=[*end.pairs, end.pairs[0]])


def test_a_run_ends_once(end, make_result):
    snapshot = end()
    assert end() == snapshot
    with pytest.raises(IntegrityError, match="ended with another snapshot"):
        end(skipped={"v": "S_LIMIT"})


def test_a_damaged_or_missing_snapshot_is_an_alarm(lake, end):
    first, second = end(), end(run="run-2", skipped={"v": "S_LIMIT"})
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
