from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.contracts.tables import FEATURE_DICTIONARY, INSTANCES, QUARANTINE, VOLUMES, features_schema
from medpipe.errors import ConfigError, IntegrityError, SecurityError
from medpipe.keys import digest
from medpipe.lake import arrow, parts
from medpipe.lake.arrow import group_rows, to_table
from medpipe.lake.lake import Lake
from medpipe.lake.manifest import read_manifest, verify_folder
from medpipe.lake.parts import Counted, cut, most_rows
from medpipe.lake.publication import last_publication, new_publication, read_ranges
from medpipe.lake.query import open_table, open_tables, read_table, sql
from medpipe.lake.summaries import CaseCounts, RangeSummary, added
from medpipe.privacy.secret import Secret
from medpipe.ranges import Range, all_ranges, range_of

FEATURES = features_schema(("stat_mean", "stat_var"))
SCHEMAS = {schema.name: schema for schema in (FEATURES, INSTANCES, QUARANTINE, VOLUMES)}
MODALITIES = ("CT", "MR", None)


@pytest.fixture
def small_parts(monkeypatch):
    """Make parts and row groups so small that a few hundred rows fill several."""
    monkeypatch.setattr(parts, "PART_BYTES", 1200)
    monkeypatch.setattr(arrow, "_LEAST_ROWS", 16)
    monkeypatch.setattr(arrow, "_ROW_GROUP_BYTES", 4000)


@dataclass
class World:
    """Rows by table and by the key they were made for; a key can be made anew, or go."""

    rows: dict[str, dict[str, list[dict]]] = field(default_factory=lambda: {name: {} for name in SCHEMAS})

    def put(self, number: int, version: int) -> None:
        made = random.Random(f"{number} {version}")
        series = digest(["series", number])[:32]
        volume = series[:4] + digest(["volume", number])[4:32]
        modality = MODALITIES[number % 3]
        place = {"series_key": series, "modality": modality}
        self.rows["volumes"][series] = [{**place, "volume_key": volume, "shape": [version, 2], "verdict": "regular"}]
        self.rows["features"][series] = [
            {**place, "volume_key": volume, "region_key": f"{series[:4]}{n:028x}", "stat_mean": made.random()}
            for n in range(number % 5)
        ]
        alone = digest(["instance", number])[:32]
        self.rows["instances"][series] = [{**place, "instance_key": digest([number, n])[:32]} for n in range(4)]
        self.rows["instances"][alone] = [{"instance_key": alone, "modality": modality, "code": "E_HEADER"}]
        self.rows["quarantine"][alone] = [{"subject": alone, "code": "E_HEADER", "stage": "scan", "modality": modality}]

    def drop(self, number: int) -> None:
        for table in self.rows.values():
            table.pop(digest(["series", number])[:32], None)

    def of(self, one: Range) -> dict[str, list[dict]]:
        return {
            name: [row for key, rows in table.items() if key in one for row in rows]
            for name, table in self.rows.items()
        }


def make_lake(folder: Path) -> Lake:
    return Lake.create(folder, privacy="pseudonymized", secret=Secret(bytes(32)))


def publish(lake, world, *, bits, last="read", basis="b", shuffle=0):
    """Publish a world; return (publication, numbers of the ranges that were made)."""
    before = last_publication(lake, "demo") if last == "read" else last
    made = []
    with new_publication(lake, "demo", schemas=SCHEMAS, bits=bits, basis=basis, last=before) as new:
        for one in random.Random(shuffle).sample(list(all_ranges(bits)), 1 << bits):
            rows = world.of(one)
            state = digest(rows)
            if new.keep(one.number, state) is None:
                made.append(one.number)
                mixed = {name: random.Random(shuffle).sample(some, len(some)) for name, some in rows.items()}
                new.add(one.number, state, RangeSummary(cases=CaseCounts(planned=len(rows["volumes"]))), mixed)
        singles = {"feature_dictionary": (FEATURE_DICTIONARY, [{"name": "stat_mean"}])}
        return new.publish("ab" * 16, singles), made


def table_files(lake, publication):
    root = lake.store.absolute(publication.path)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.parquet")}


def filled(count, version=1):
    world = World()
    for number in range(count):
        world.put(number, version)
    return world


CHANGES = st.lists(
    st.lists(st.tuples(st.integers(0, 39), st.integers(0, 3)), min_size=1, max_size=8), min_size=1, max_size=3
)


@settings(max_examples=5, deadline=None)
@given(
    changes=CHANGES, bits=st.sampled_from([0, 2, 4, 6]), other=st.sampled_from([0, 1, 3, 5]), seed=st.integers(0, 99)
)
def test_the_bytes_of_tables_depend_on_their_content_and_not_on_history(tmp_path_factory, changes, bits, other, seed):
    with pytest.MonkeyPatch.context() as patch:
        small_parts.__wrapped__(patch)
        folder = tmp_path_factory.mktemp("history")
        lake, world = make_lake(folder / "long"), filled(30)
        publication, _ = publish(lake, world, bits=bits)
        for step in changes:
            for number, version in step:
                world.put(number, version) if version else world.drop(number)
            publication, _ = publish(lake, world, bits=bits, shuffle=seed)
            verify_folder(lake.store, publication.path)
        fresh = make_lake(folder / "fresh")
        straight, _ = publish(fresh, world, bits=other, last=None)
        assert table_files(lake, publication) == table_files(fresh, straight)
        shutil.rmtree(folder)


@pytest.mark.parametrize("bits", [0, 3])
def test_parts_put_together_are_the_whole_table_in_its_order(lake, small_parts, bits):
    world = filled(90)
    publish(lake, world, bits=bits)
    for name, schema in SCHEMAS.items():
        whole = to_table(schema, [row for rows in world.rows[name].values() for row in rows])
        assert open_table(lake, name).to_table().equals(whole)
        assert ds.dataset((lake.root / "tables" / name).resolve()).count_rows() == whole.num_rows
    assert len(list((lake.root / "tables").glob("*/part-CT-*"))) > 2 * len(SCHEMAS)


def test_a_change_rewrites_only_the_parts_it_touches(lake, small_parts):
    world = filled(90)
    publish(lake, world, bits=4)
    before = open_tables(lake)
    number = next(number for number in range(90) if number % 5 == 4)
    world.put(number, 2)
    publication, made = publish(lake, world, bits=4)
    series = digest(["series", number])[:32]
    assert made == [range_of(series, 4).number]
    # the rows of instances and quarantine are the same, so their parts are not touched at all
    assert {file.partition("/")[0] for file in publication.written} == {"features", "volumes"}
    assert len(publication.written) == 2
    for file in publication.written:
        low, high = file.removesuffix(".parquet").split("-")[-2:]
        assert low <= series[:4] <= high
    old, new = before.dataset("features").files, open_table(lake, "features").files
    shared = sum(Path(one).samefile(other) for one, other in zip(old, new, strict=True))
    assert shared == len(old) - 1


def test_unchanged_parts_are_not_opened(lake, small_parts):
    world = filled(90)
    first, _ = publish(lake, world, bits=4)
    world.put(4, 2)
    series = digest(["series", 4])[:32]
    root = lake.store.absolute(first.path)
    touched = f"{range_of(series, 4).low}"
    spoiled = []
    for part in last_publication(lake, "demo").list.parts:
        if part.modality and not part.low <= touched <= part.high:
            path = root / part.file
            path.write_bytes(bytes(path.stat().st_size))
            spoiled.append(part.file)
    second, made = publish(lake, world, bits=4)
    assert len(spoiled) > 10
    assert len(made) == 1
    # what rotted is found where it is linked, since its entry was carried over
    with pytest.raises(IntegrityError, match="differ from the manifest"):
        verify_folder(lake.store, second.path)
    entries = {entry.path: entry for entry in read_manifest(lake.store, first.path)}
    carried = [entry for entry in read_manifest(lake.store, second.path) if entry.path in spoiled]
    assert carried == [entries[entry.path] for entry in carried]
    assert carried


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_part_that_is_gone_or_cut_off_is_not_built_upon(lake, small_parts, damage):
    world = filled(60)
    publish(lake, world, bits=2)
    damage(Path(open_table(lake, "volumes").files[0]))
    world.put(3, 2)
    before = (lake.root / "tables").readlink()
    publication, _ = publish(lake, world, bits=2)
    assert publication is None
    assert (lake.root / "tables").readlink() == before
    assert list(lake.store.list("tmp")) == []
    publication, _ = publish(lake, world, bits=2, last=None)
    verify_folder(lake.store, publication.path)


def test_a_part_that_rotted_is_not_read_into_a_new_one(lake, small_parts):
    world = filled(60)
    publish(lake, world, bits=6)
    world.put(4, 2)
    touched = digest(["series", 4])[:4]
    part = next(
        one
        for one in last_publication(lake, "demo").list.parts
        if (one.table, one.modality) == ("features", "MR") and one.low <= touched <= one.high
    )
    path = lake.root / "tables" / part.file
    data = bytearray(path.read_bytes())
    data[-20] ^= 1  # in the footer, which no page's checksum covers
    path.write_bytes(data)
    assert publish(lake, world, bits=6)[0] is None


def test_nothing_is_kept_on_another_basis_and_equal_parts_are_linked_all_the_same(lake, small_parts):
    world = filled(60)
    first, _ = publish(lake, world, bits=3, basis="one recipe")
    second, made = publish(lake, world, bits=3, basis="another")
    assert len(made) == 8
    assert second.written == ()
    assert table_files(lake, first) == table_files(lake, second)


def test_a_table_with_another_column_is_written_anew(lake, small_parts, monkeypatch):
    world = filled(60)
    publish(lake, world, bits=3)
    monkeypatch.setitem(SCHEMAS, "features", features_schema(("stat_mean", "stat_skew", "stat_var")))
    publication, made = publish(lake, world, bits=3)
    assert len(made) == 8
    assert {file.partition("/")[0] for file in publication.written} == {"features"}
    assert "stat_skew" in read_table(lake, "features").column_names


def test_another_writer_shares_no_bytes(lake, small_parts, monkeypatch):
    world = filled(60)
    publish(lake, world, bits=3)
    monkeypatch.setattr(parts, "PART_BYTES", 900)
    publication, made = publish(lake, world, bits=3)
    assert len(made) == 8
    fresh = make_lake(lake.root.with_name("fresh"))
    straight, _ = publish(fresh, world, bits=1)
    assert table_files(lake, publication) == table_files(fresh, straight)
    assert len(publication.written) == len(last_publication(lake, "demo").list.parts) - 1


def test_a_row_in_the_wrong_range_is_refused(lake):
    rows = [{"series_key": "0" * 32, "volume_key": "0" * 32}, {"series_key": "f" * 32, "volume_key": "f" * 32}]
    with (
        pytest.raises(IntegrityError, match="outside range 0000-7fff"),
        new_publication(lake, "demo", schemas=SCHEMAS, bits=1, basis="", last=None) as new,
    ):
        new.add(0, "", RangeSummary(), {"volumes": rows})
    assert list(lake.store.list("tmp")) == []


def test_identifiers_are_refused_range_by_range(lake):
    with (
        pytest.raises(SecurityError, match=r"instances\.path"),
        new_publication(lake, "demo", schemas=SCHEMAS, bits=0, basis="", last=None) as new,
    ):
        new.add(0, "", RangeSummary(), {"instances": [{"instance_key": "0" * 32, "path": "SMITH"}]})


# how a table is cut -------------------------------------------------------------------------------


def test_a_part_is_split_in_two_while_it_has_too_many_rows():
    counted = [Counted(Range(2, number), rows) for number, rows in enumerate((5, 5, 20, 0))]
    assert list(cut([], 30)) == []
    assert [(one.range.name, one.rows) for one in cut(counted, 30)] == [("0000-ffff", 30)]
    assert [(one.range.name, one.rows) for one in cut(counted, 20)] == [("0000-7fff", 10), ("8000-ffff", 20)]
    assert [one.range.name for one in cut(counted, 19)] == ["0000-7fff", "8000-bfff"]
    assert [one.rows for one in cut(counted, 5)] == [5, 5, 20]


@given(places=st.lists(st.integers(0, (1 << 16) - 1), max_size=60), bits=st.integers(0, 16), most=st.integers(1, 20))
def test_borders_depend_on_rows_and_not_on_ranges(places, bits, most):
    def counted(level):
        numbers = sorted(place >> (16 - level) for place in places)
        return [Counted(Range(level, number), numbers.count(number)) for number in sorted(set(numbers))]

    finest = list(cut(counted(16), most))
    if all(one.rows <= most for one in counted(bits)):
        assert list(cut(counted(bits), most)) == finest
    assert sum(one.rows for one in finest) == len(places)
    assert all(one.rows <= most or one.range.bits == 16 for one in finest)


def test_a_part_of_a_large_modality_has_64_to_512_mb_and_a_row_group_some_tens():
    wide = features_schema(tuple(f"f{number}" for number in range(1000)))
    for schema in (*SCHEMAS.values(), wide):
        assert group_rows(schema) * sum({"float64": 8}.get(one.type, 40) for one in schema.fields) <= 150 << 20
    assert most_rows(features_schema(tuple(f"f{number}" for number in range(100)))) in range(400_000, 700_000)


# reading a part of it -----------------------------------------------------------------------------


@pytest.fixture
def spoiled(lake, small_parts):
    """Return (lake, series, rows): every part is garbage but those of one modality with one series."""
    world = filled(120)
    publish(lake, world, bits=3)
    series = digest(["series", 4])[:32]  # MR
    sound = 0
    for part in last_publication(lake, "demo").list.parts:
        if part.modality and not (part.modality == "MR" and part.low <= series[:4] <= part.high):
            (lake.root / "tables" / part.file).write_bytes(b"garbage")
        else:
            sound += 1
    assert sound == 5
    return lake, series, world.rows["features"][series]


def test_a_series_is_read_without_opening_the_parts_of_others(spoiled):
    lake, series, rows = spoiled
    found = read_table(lake, "features", where={"modality": "MR", "series_key": series})
    assert found.num_rows == len(rows) == 4
    assert found["stat_mean"].to_pylist() == [row["stat_mean"] for row in to_table(FEATURES, rows).to_pylist()]
    volume = rows[0]["volume_key"]
    for table in ("features", "volumes"):
        assert read_table(lake, table, where={"modality": "MR", "volume_key": volume}).num_rows in (1, 4)
    own = read_table(lake, "instances", where={"modality": "MR", "series_key": series})
    assert own.num_rows == 4
    with pytest.raises(IntegrityError):
        read_table(lake, "features", where={"modality": "MR"})


@pytest.mark.parametrize(
    "condition", ["series_key = '{series}'", "series_key BETWEEN '{series}' AND '{series}'", "volume_key = '{volume}'"]
)
def test_a_query_opens_only_the_parts_it_asks_for(spoiled, condition):
    lake, series, rows = spoiled
    text = condition.format(series=series, volume=rows[0]["volume_key"])
    found = sql(lake, f"SELECT count(*) AS n FROM features WHERE modality = 'MR' AND {text}")
    assert found.to_pylist() == [{"n": 4}]
    with pytest.raises(ConfigError):
        sql(lake, "SELECT count(stat_mean) FROM features")


def test_rows_of_a_range_are_read_with_those_that_have_no_series(lake, small_parts):
    world = filled(90)
    publish(lake, world, bits=4)
    tables = open_tables(lake)
    for one in all_ranges(2):
        for name in ("instances", "quarantine", "features"):
            column = SCHEMAS[name].own or "region_key"
            found = tables.within(name, one, columns=[column])
            assert sorted(row[column] for row in found) == sorted(row[column] for row in world.of(one)[name])


def test_rows_without_a_modality_or_a_series_are_found_too(lake, small_parts):
    world = filled(90)
    publish(lake, world, bits=4)
    alone = digest(["instance", 7])[:32]
    (found,) = open_tables(lake).rows("instances", {"instance_key": alone})
    assert (found["series_key"], found["code"]) == (None, "E_HEADER")
    counted = sql(lake, "SELECT count(*) AS n FROM instances WHERE series_key IS NULL AND modality IS NULL")
    assert counted.to_pylist() == [{"n": 30}]


def test_an_open_publication_stays_the_same_while_another_is_published(lake):
    publish(lake, filled(20), bits=1)
    tables = open_tables(lake)
    publish(lake, filled(30), bits=1)
    assert tables.dataset("volumes").count_rows() == 20
    assert open_table(lake, "volumes").count_rows() == 30


def test_a_column_nobody_has_is_refused(lake):
    publish(lake, filled(2), bits=0)
    with pytest.raises(ConfigError, match="volumes has no column 'colour'"):
        read_table(lake, "volumes", where={"colour": "red"})


# what is told of ranges ---------------------------------------------------------------------------


def test_ranges_tell_their_numbers_while_their_state_is_the_same(lake):
    assert read_ranges(lake, "demo") is None
    world = filled(30)
    publish(lake, world, bits=2)
    ranges = read_ranges(lake, "demo")
    assert (ranges.bits, ranges.snapshot) == (2, "ab" * 16)
    for one in all_ranges(2):
        state = digest(world.of(one))
        assert ranges.summary(one, state).cases.planned == len(world.of(one)["volumes"])
        assert ranges.summary(one, "another") is None
    assert ranges.summary(Range(1, 0), digest(world.of(Range(2, 0)))) is None
    assert added(ranges.summaries()).cases.planned == 30


def test_a_damaged_list_of_parts_is_no_basis_to_build_upon(lake):
    publication, _ = publish(lake, filled(5), bits=0)
    (lake.store.absolute(publication.path) / "parts.json").write_text("{}")
    assert read_ranges(lake, "demo") is None
    with pytest.raises(IntegrityError, match="list of parts"):
        open_tables(lake)


def test_summaries_come_back_and_add_up():
    one = RangeSummary(
        cases=CaseCounts("d", 3, 1, 1, 1), by_route={"ct": 2}, codes={"E_OOM": 1}, volumes={"CT": {"regular": 2}}
    )
    assert RangeSummary.from_json(one.to_json()) == one
    total = added([one, one])
    assert (total.planned, total.skipped, total.by_route) == (4, 2, {"ct": 4})
    assert total.volumes == {"CT": {"regular": 4}}


@pytest.mark.slow
def test_only_changed_ranges_are_made_again(tmp_path):
    command = [sys.executable, "-m", "tests.bench.publishing", "--rows", "60000", "--bits", "8", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    facts = json.loads(done.stdout)
    assert facts["query of a series"]["rows"] == 4
    told = ("first", "1 % of neighbours changed", "1 % all over changed", "nothing changed")
    assert [facts[name]["ranges made"] for name in told] == [256, 3, 3, 0]
    assert [facts[name]["parts written"] for name in told] == [1, 1, 1, 0]
    assert facts["first"]["peak memory, MB"] < 700
