import itertools
import random
import shutil
from contextlib import suppress
from dataclasses import replace

import pyarrow as pa
import pytest

from medpipe.contracts.records import CaseResult, ProductRecord
from medpipe.errors import IntegrityError, LakeError
from medpipe.keys import canonical, digest
from medpipe.lake import lines, results
from medpipe.lake.committed import Committed
from medpipe.lake.lines import LineSpool, place_of
from medpipe.lake.pieces import live_pieces, read_generation
from medpipe.lake.results import Results, stored_listing
from medpipe.lake.segments import SegmentWriter, encode_segment, list_segments, read_lines, read_segment
from medpipe.lake.volumes import put_volume
from medpipe.ranges import Range, all_ranges

BITS = 3
WRITERS = iter(range(1_000_000))


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the code under test catches it."""


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Cut so finely that a few dozen results make many pieces and go through files."""
    monkeypatch.setattr(results, "PIECE_RESULTS", 4)
    monkeypatch.setattr(lines, "SPOOL_BYTES", 4096)


def seal(lake, found, *, run="run-1"):
    with SegmentWriter(lake, run, f"w{next(WRITERS):06d}", most_cases=5, most_s=60.0) as segment:
        for result in found:
            segment.add(result)


def brute_force(lake, wanted):
    committed = Committed(lake)
    for name in list_segments(lake):
        for result in read_segment(lake, name):
            if result.case.volume_key in wanted:
                committed.add(result)
    committed.find_lost()
    return committed


def held(committed):
    """Everything a Committed says."""
    cases = list(committed.cases())
    return {
        "cases": cases,
        "products": [(one, committed.has_product(one.key)) for one in committed.products()],
        "of volumes": {case.volume_key: committed.products_of(case.volume_key) for case in cases},
        "contents": {
            (case.volume_key, case.source_version): committed.content_of(case.volume_key, case.source_version)
            for case in cases
        },
    }


def assert_all_is_there(lake, found, bits=BITS):
    total = 0
    for wanted in all_ranges(bits):
        loaded = found.load(wanted)
        assert held(loaded) == held(brute_force(lake, wanted))
        total += len(loaded)
    assert total == len(brute_force(lake, Range(0, 0)))


def content(lake, *tops):
    return {path: lake.store.get(path) for top in tops or ["index"] for path in lake.store.list(top)}


@pytest.mark.parametrize("bits", [0, 2, 5, 16])
def test_ranges_of_any_width_together_hold_what_all_segments_hold(lake, make_result, bits):
    seal(lake, [make_result(number) for number in range(60)])
    found = Results.open(lake)
    numbers = {int(make_result(number).case.volume_key[:4], 16) >> (16 - bits) for number in range(60)}
    for number in sorted(numbers):
        assert held(found.load(Range(bits, number))) == held(brute_force(lake, Range(bits, number)))
    assert sum(len(found.load(Range(bits, number))) for number in numbers) == 60
    assert found.n_cases == 60


def test_only_new_segments_are_read(lake, make_result, monkeypatch):
    seal(lake, [make_result(number) for number in range(40)])
    found = Results.open(lake)
    before = found.covered
    assert found.absorb() == 0
    seal(lake, [make_result(number) for number in range(40, 43)])
    read = []
    monkeypatch.setattr(results, "read_lines", lambda lake, name: read.append(name) or read_lines(lake, name))
    assert found.absorb() == 1
    assert len(read) == 1
    assert found.covered != before
    assert_all_is_there(lake, found)
    assert Results.open(lake).covered == found.covered
    assert len(read) == 1


def test_a_digest_changes_only_where_results_came(lake, make_result):
    seal(lake, [make_result(number) for number in range(40)])
    found = Results.open(lake)
    before = [found.digest_of(wanted) for wanted in all_ranges(BITS)]
    added = [make_result(number) for number in (100, 101)]
    seal(lake, added)
    found.absorb()
    after = [found.digest_of(wanted) for wanted in all_ranges(BITS)]
    touched = {int(result.case.volume_key[:4], 16) >> (16 - BITS) for result in added}
    assert {number for number in range(1 << BITS) if before[number] != after[number]} == touched


def test_an_index_made_again_has_the_same_digests(lake, make_result):
    found = Results.open(lake)
    for first in range(0, 60, 6):
        seal(lake, [make_result(number) for number in range(first, first + 6)])
        found.absorb()
    digests = [found.digest_of(wanted) for wanted in all_ranges(BITS)]
    shutil.rmtree(lake.root / "index")
    again = Results.open(lake)
    assert [again.digest_of(wanted) for wanted in all_ranges(BITS)] == digests
    assert again.covered == found.covered
    assert_all_is_there(lake, again)


def test_many_small_absorbs_leave_few_layers_and_move_a_result_seldom(lake, make_result, monkeypatch):
    written = []
    real = results.put_piece
    monkeypatch.setattr(
        results, "put_piece", lambda lake, keys, found: written.append(len(found)) or real(lake, keys, found)
    )
    found = Results.open(lake)
    for number in range(64):
        seal(lake, [make_result(number)])
        found.absorb()
    generation = read_generation(lake)
    sizes = [layer.results for layer in generation.layers]
    assert sum(sizes) == 64
    assert all(larger >= 2 * smaller for larger, smaller in itertools.pairwise(sizes))
    assert sum(written) <= 64 * 8
    assert_all_is_there(lake, found)


def test_a_result_of_the_same_case_in_another_layer_is_held_against_the_first(lake, make_result):
    seal(lake, [make_result(number) for number in range(20)])
    found = Results.open(lake)
    seal(lake, [make_result(3, value=2.5)])
    found.absorb()
    wanted = Range(BITS, int(make_result(3).case.volume_key[:4], 16) >> (16 - BITS))
    with pytest.raises(IntegrityError, match="different results"):
        found.load(wanted)
    found.load(Range(BITS, (wanted.number + 1) % (1 << BITS)))


def test_reading_writes_nothing_and_sees_what_no_index_covers(lake, make_result):
    assert_all_is_there(lake, Results.read(lake))
    seal(lake, [make_result(number) for number in range(30)])
    assert not (lake.root / "index").exists()
    without_index = Results.read(lake)
    assert_all_is_there(lake, without_index)
    driver = Results.open(lake)
    seal(lake, [make_result(number) for number in range(30, 37)])
    before = content(lake, "index", "objects", "tmp", "locks")
    reader = Results.read(lake)
    assert_all_is_there(lake, reader)
    assert reader.n_cases == 37
    with pytest.raises(LakeError):
        reader.absorb()
    assert content(lake, "index", "objects", "tmp", "locks") == before
    driver.absorb()
    assert reader.covered == driver.covered
    for wanted in all_ranges(BITS):
        assert reader.digest_of(wanted) == driver.digest_of(wanted)


def test_a_reader_survives_that_the_driver_and_gc_change_the_index(lake, make_result):
    seal(lake, [make_result(number) for number in range(30)])
    driver = Results.open(lake)
    reader = Results.read(lake)
    expected = [held(reader.load(wanted)) for wanted in all_ranges(BITS)]
    seal(lake, [make_result(number) for number in range(30, 60)])
    driver.absorb()
    sweep(lake)
    assert [held(reader.load(wanted)) for wanted in all_ranges(BITS)] == expected


def sweep(lake):
    live = live_pieces(lake)
    for path in lake.store.list("index"):
        if path not in live:
            lake.store.absolute(path).unlink()


def damages(lake):
    """Yield ways to damage an index of results: each file of it gone, cut, flipped or another's."""
    paths = list(lake.store.list("index/results"))
    for place, path in enumerate(paths):
        whole = lake.store.get(path)
        middle = len(whole) // 2
        yield path, None
        yield path, whole[:-2]
        yield path, b""
        yield path, whole[:middle] + bytes(byte ^ 4 for byte in whole[middle : middle + 1]) + whole[middle + 1 :]
        yield path, lake.store.get(paths[place - 1])


def damage(lake, path, data):
    if data is None:
        lake.store.absolute(path).unlink()
    else:
        lake.store.absolute(path).write_bytes(data)


def test_whatever_is_damaged_is_made_again_and_never_gives_wrong_numbers(lake, make_result):
    seal(lake, [make_result(number) for number in range(20)])
    found = Results.open(lake)
    seal(lake, [make_result(number) for number in range(20, 24)])
    found.absorb()
    tried = 0
    for path, data in list(damages(lake)):
        expected = content(lake)
        damage(lake, path, data)
        assert_all_is_there(lake, Results.read(lake), bits=1)
        found = Results.open(lake)
        assert_all_is_there(lake, found, bits=1)
        again = content(lake)
        assert live_pieces(lake) <= set(again)
        for one in live_pieces(lake) & set(expected) - {"index/results/CURRENT"}:
            assert again[one] == expected[one], (path, one)
        tried += 1
    assert tried > 40


def test_a_damaged_piece_is_found_while_it_is_merged_too(lake, make_result):
    seal(lake, [make_result(number) for number in range(20)])
    found = Results.open(lake)
    for path in lake.store.list("index/results/pieces"):
        lake.store.absolute(path).write_bytes(b"rotten")
    seal(lake, [make_result(number) for number in range(20, 50)])
    assert found.absorb() == 6
    assert_all_is_there(lake, found)


def test_a_damaged_segment_is_an_alarm_and_leaves_the_old_index(lake, make_result):
    seal(lake, [make_result(number) for number in range(20)])
    found = Results.open(lake)
    before = content(lake)
    seal(lake, [make_result(40)])
    known = set(list_segments(lake))
    seal(lake, [make_result(50)])
    (name,) = set(list_segments(lake)) - known
    path = lake.store.absolute(name)
    whole = path.read_bytes()
    path.write_bytes(encode_segment([make_result(51)]))
    with pytest.raises(IntegrityError, match="torn or altered"):
        found.absorb()
    with pytest.raises(IntegrityError, match="torn or altered"):
        Results.read(lake)
    assert content(lake) == before
    path.write_bytes(whole)
    assert found.absorb() == 2
    assert_all_is_there(lake, found)
    reader = Results.read(lake)
    shutil.rmtree(lake.root / "index")
    for wanted in all_ranges(BITS):
        assert found.digest_of(wanted) == reader.digest_of(wanted) == Results.read(lake).digest_of(wanted)


def test_a_generation_that_says_something_else_is_not_believed(lake, make_result):
    seal(lake, [make_result(number) for number in range(20)])
    Results.open(lake)
    seal(lake, [make_result(number) for number in range(20, 26)])
    found = Results.open(lake)
    found.absorb()
    (path,) = (path for path in live_pieces(lake) if "/generations/" in path)
    generation = read_generation(lake)
    lies = replace(generation, layers=generation.layers[:1])
    assert len(lies.layers) < len(generation.layers)
    lake.store.absolute(path).write_bytes(pa.compress(canonical(lies.to_json()).encode(), codec="zstd", asbytes=True))
    assert_all_is_there(lake, Results.read(lake))
    assert_all_is_there(lake, Results.open(lake))


@pytest.mark.parametrize("when", ["before it is opened", "while it is open"])
def test_a_segment_that_is_gone_takes_its_results_with_it(lake, make_result, when):
    seal(lake, [make_result(number) for number in range(20)])
    found = Results.open(lake)
    lake.store.absolute(list_segments(lake)[1]).unlink()
    assert_all_is_there(lake, Results.read(lake))
    if when == "before it is opened":
        found = Results.open(lake)
        assert found.n_cases == 15
    assert found.absorb() == 0
    assert found.n_cases == 15
    assert_all_is_there(lake, found)
    assert_all_is_there(lake, Results.read(lake))


def test_a_volume_that_is_gone_is_not_there_until_it_is_stored_again(lake, make_volume, make_result):
    stored = put_volume(lake, digest("one"), make_volume())
    product = ProductRecord(key=digest("one"), kind="volume", rows=({"store": stored["store"], "final_store": None},))
    case = make_result(1).case
    seal(lake, [CaseResult(case=replace(case, products=(product.key,)), products=(product,))])
    found = Results.open(lake)
    listing = stored_listing(lake)
    assert listing[0] == 1
    assert found.load(Range(0, 0)).has_product(product.key)
    shutil.rmtree(lake.root / stored["store"])
    assert not found.load(Range(0, 0)).has_product(product.key)
    assert stored_listing(lake)[0] == 0
    put_volume(lake, digest("one"), make_volume())
    assert found.load(Range(0, 0)).has_product(product.key)
    assert stored_listing(lake) == listing


def test_the_listing_of_volumes_tells_one_set_of_names_from_another(lake):
    seen = {stored_listing(lake)}
    for name in ("00" * 16, "0001" * 8, "ff" * 16):
        (lake.root / lake.layout.volume(name)).mkdir(parents=True)
        seen.add(stored_listing(lake))
    (lake.root / lake.layout.volume("ff" * 16)).rename(lake.root / lake.layout.volume("ffee" * 8))
    seen.add(stored_listing(lake))
    assert len(seen) == 5
    assert stored_listing(lake)[0] == 3
    seal_folder = lake.root / lake.layout.segments() / "run"
    seal_folder.mkdir(parents=True)
    assert stored_listing(lake) in seen


def test_a_line_is_placed_by_its_case_and_not_by_what_its_rows_say(lake, make_result):
    tricky = {"volume_key": "ffff", "text": '"volume_key":"eeee'}
    product = ProductRecord(key="00" * 32, kind="features", rows=(tricky,))
    case = replace(make_result(1).case, code='"volume_key":"dddd', products=(product.key,))
    seal(lake, [CaseResult(case=case, products=(product,))])
    (line,) = read_lines(lake, *list_segments(lake))
    assert place_of(line) == int(case.volume_key[:4], 16)


@pytest.mark.parametrize(
    "line", [b"", b"{}", b'{"case":{"volume_key":"xyz1"}}', b'{"products":[],"volume_key":"0000"}']
)
def test_a_line_that_is_no_result_is_refused(line):
    with pytest.raises(IntegrityError):
        place_of(line)


def test_a_spool_gives_back_every_line_of_a_range_in_order(tmp_path, make_result, lake):
    seal(lake, [make_result(number) for number in range(60)])
    found = [line for name in list_segments(lake) for line in read_lines(lake, name)]
    spool = LineSpool(lambda: tmp_path, BITS)
    for start in range(0, 60, 7):
        spool.add(found[start : start + 7])
    assert list(tmp_path.iterdir())
    for number in range(1 << BITS):
        assert spool.read(number) == [line for line in found if place_of(line) >> (16 - BITS) == number]


def kill_at(monkeypatch, nth):
    """Raise at the nth fail point that is passed from now on; return how many were passed."""
    passed = []

    def hit(name):
        passed.append(name)
        if len(passed) == nth:
            raise Killed

    for module in ("pieces", "store", "segments"):
        monkeypatch.setattr(f"medpipe.lake.{module}.hit", hit)
    return passed


def test_a_kill_at_any_point_leaves_the_old_index_or_the_new_one(lake, make_result, monkeypatch):
    monkeypatch.setattr(results, "PIECE_RESULTS", 8)
    seal(lake, [make_result(number) for number in range(6)])
    Results.open(lake)
    seal(lake, [make_result(number) for number in range(6, 16)])
    whole, old, new = lake.root, 6, 16
    for nth in range(1, 1000):
        copy = whole.with_name(f"copy-{nth}")
        shutil.copytree(whole, copy)
        killed = type(lake).open(copy)
        found = Results.open(killed)
        with monkeypatch.context() as patch:
            passed = kill_at(patch, nth)
            with suppress(Killed):
                found.absorb()
        assert Results.open(killed).n_cases in (old, new)
        again = Results.open(killed)
        again.absorb()
        assert again.n_cases == new
        assert_all_is_there(killed, again, bits=0)
        sweep(killed)
        assert_all_is_there(killed, Results.open(killed), bits=0)
        if len(passed) < nth:
            break
    assert {"results.before_piece", "results.before_pointer", "results.after_pointer"} <= set(passed)
    assert nth > 10


LONG = [pytest.param(seed, marks=pytest.mark.long) for seed in range(106, 130)]


@pytest.mark.parametrize("seed", range(4))
def test_any_history_gives_what_the_segments_hold(lake, make_result, monkeypatch, seed):
    history(lake, make_result, monkeypatch, random.Random(seed), steps=25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(100, 106), *LONG])
def test_any_long_history_gives_what_the_segments_hold(lake, make_result, monkeypatch, seed):
    history(lake, make_result, monkeypatch, random.Random(seed), steps=60)


def history(lake, make_result, monkeypatch, rng, *, steps):
    """Seal, absorb, kill, damage, sweep and read in random order; compare with all segments after each step."""
    found = Results.open(lake)
    covered = []
    for step in range(steps):
        action = rng.choice(["seal", "seal", "seal", "absorb", "absorb", "kill", "damage", "open", "sweep", "drop"])
        if action == "seal":
            seal(lake, list(some_results(make_result, rng, run=f"run-{step:03d}")), run=f"run-{step:03d}")
        elif action == "absorb":
            before = set(covered)
            new = set(list_segments(lake)) - before
            assert found.absorb() == len(new)
            covered = list_segments(lake)
        elif action == "kill":
            with monkeypatch.context() as patch:
                kill_at(patch, rng.randrange(1, 12))
                with suppress(Killed):
                    found.absorb()
            found = Results.open(lake)
            found.absorb()
            covered = list_segments(lake)
        elif action == "damage":
            options = list(damages(lake))
            if options:
                damage(lake, *rng.choice(options))
        elif action == "open":
            found = Results.open(lake)
            found.absorb()
            covered = list_segments(lake)
        elif action == "sweep":
            sweep(lake)
        elif action == "drop" and rng.random() < 0.3:
            shutil.rmtree(lake.root / "index", ignore_errors=True)
        assert_all_is_there(lake, Results.read(lake), bits=rng.choice([0, 1, 3]))
        if covered == list_segments(lake):
            assert_all_is_there(lake, found, bits=rng.choice([0, 1, 3]))


def some_results(make_result, rng, *, run):
    for number in rng.sample(range(60), rng.randrange(1, 12)):
        status = rng.choice(["done", "done", "failed", "rejected"])
        yield make_result(number, status=status, run=run, wall_s=rng.random(), attempts=rng.randrange(1, 3))
