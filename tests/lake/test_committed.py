import itertools
import shutil
from dataclasses import replace

import pytest

from medpipe.contracts.records import CaseResult, ProductRecord
from medpipe.errors import IntegrityError
from medpipe.keys import digest
from medpipe.lake.committed import Committed
from medpipe.lake.volumes import put_volume


def committed_of(lake, results):
    committed = Committed(lake)
    for result in results:
        committed.add(result)
    committed.find_lost()
    return committed


def test_everything_is_found_by_its_key(lake, make_result):
    committed = committed_of(lake, [make_result(number) for number in range(3)])
    result = make_result(1)
    assert committed.case(result.case.case_key) == result.case
    assert committed.product(result.products[0].key) == result.products[0]
    assert committed.has_product(result.products[0].key)
    assert committed.products_of(result.case.volume_key) == {result.products[0].key}
    assert committed.products_of("other") == frozenset()
    assert len(committed) == 3
    assert [case.case_key for case in committed.cases()] == sorted(make_result(n).case.case_key for n in range(3))
    assert [one.key for one in committed.products()] == sorted(make_result(n).products[0].key for n in range(3))
    assert committed.case("0" * 64) is None
    assert not committed.has_product("0" * 64)
    with pytest.raises(IntegrityError):
        committed.product("0" * 64)


def test_what_a_case_made_that_did_not_come_to_its_end_is_of_its_volume(lake, make_result):
    made = make_result(1).products[0]
    failed = CaseResult(case=replace(make_result(1, status="failed").case, products=()), products=(made,))
    assert committed_of(lake, [failed]).products_of(failed.case.volume_key) == {made.key}


def test_a_volume_remembers_what_was_read_at_each_source_version(lake, make_result):
    case = make_result(1, companions_digest="cd").case
    committed = committed_of(lake, [make_result(1, companions_digest="cd")])
    assert committed.content_of(case.volume_key, case.source_version) == (case.content_digest, "cd")
    assert committed.content_of(case.volume_key, "other") is None
    committed.add(make_result(1, status="failed"))
    assert committed.content_of(case.volume_key, case.source_version) == (case.content_digest, "cd")


def test_what_was_read_is_the_same_in_whatever_order_cases_come(lake, make_result):
    case = make_result(1).case
    reads = [("run-1", "c", "z"), ("run-3", "d", ""), ("run-2", "b", "y")]
    results = [
        CaseResult(
            case=replace(case, case_key=digest(place), run=run, content_digest=content, companions_digest=companions)
        )
        for place, (run, content, companions) in enumerate(reads)
    ]
    for order in itertools.permutations(results):
        found = committed_of(lake, order).content_of(case.volume_key, case.source_version)
        assert found == ("b", "y")


def test_the_same_result_twice_is_one(lake, make_result):
    assert len(committed_of(lake, [make_result(1), make_result(1, wall_s=5.0, run="run-2")])) == 1


@pytest.mark.parametrize("changed", [{"value": 2.5}, {"numeric_class": "other"}], ids=["product", "case"])
def test_equal_keys_with_different_results_are_an_alarm(lake, make_result, changed):
    committed = committed_of(lake, [make_result(1)])
    with pytest.raises(IntegrityError, match="different results"):
        committed.add(make_result(1, **changed))


def test_the_order_of_segments_decides_nothing(lake, make_result):
    records = [
        make_result(1, status="failed", run="run-1", attempts=3),
        make_result(1, status="failed", run="run-2"),
        make_result(1, run="run-3"),
        make_result(1, run="run-4", wall_s=2.0),
    ]
    standing = set()
    for order in itertools.permutations(records):
        committed = Committed(lake)
        for result in order:
            committed.add(result)
        standing.add(digest(committed.case(records[0].case.case_key).to_json()))
    assert standing == {digest(records[3].case.to_json())}


def test_done_stands_above_failed_even_of_an_earlier_run(lake, make_result):
    committed = Committed(lake)
    committed.add(make_result(1, run="run-1"))
    committed.add(make_result(1, status="failed", run="run-2"))
    assert committed.case(make_result(1).case.case_key).status == "done"


def test_the_last_run_stands_among_failures(lake, make_result):
    committed = Committed(lake)
    committed.add(make_result(1, status="failed", run="run-2"))
    committed.add(make_result(1, status="failed", run="run-1", attempts=9))
    assert committed.case(make_result(1).case.case_key).run == "run-2"


def test_where_a_volume_is_gone_a_later_end_without_it_stands(lake, make_volume, make_result):
    stored = put_volume(lake, digest("one"), make_volume())
    product = ProductRecord(key=digest("one"), kind="volume", rows=({"store": stored["store"], "final_store": None},))
    done, *others = (
        CaseResult(case=replace(make_result(1, status=status, run=f"run-{run}").case, products=keys))
        for status, run, keys in [("done", 2, (product.key,)), ("failed", 1, ()), ("failed", 3, ())]
    )
    done = replace(done, products=(product,))

    def standing(*results):
        return {committed_of(lake, order).case(done.case.case_key).run for order in itertools.permutations(results)}

    assert standing(done, *others) == {"run-2"}
    shutil.rmtree(lake.root / stored["store"])
    assert standing(done, *others) == {"run-3"}
    # a snapshot that is kept may name the one before
    both = committed_of(lake, [done, *others]).records(done.case.case_key)
    assert [one.run for one in both] == ["run-3", "run-2"]
    assert standing(done, others[0]) == {"run-2"}
    # made once more, and lost again since
    again = CaseResult(case=replace(done.case, run="run-4"))
    assert standing(done, *others, again) == {"run-4"}
    put_volume(lake, digest("one"), make_volume())
    assert standing(done, *others) == {"run-2"}


def test_a_volume_somebody_removed_is_not_there_until_it_is_stored_again(lake, make_volume, make_result):
    stored = put_volume(lake, digest("one"), make_volume())
    product = ProductRecord(key=digest("one"), kind="volume", rows=({"store": stored["store"], "final_store": None},))
    result = CaseResult(case=make_result(1).case, products=(product,))
    assert committed_of(lake, [result]).has_product(product.key)
    shutil.rmtree(lake.root / stored["store"])
    committed = committed_of(lake, [result])
    assert not committed.has_product(product.key)
    committed.add(result)
    assert committed.has_product(product.key)
