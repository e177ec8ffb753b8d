import pytest

from medpipe.contracts.tables import INSTANCES
from medpipe.errors import IntegrityError, LakeError, SecurityError
from medpipe.lake.index import index_sources, put_shard, read_generation, read_shard
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.ranges import Range, all_ranges
from tests.lake.at_once import read_index, write_index

ROWS = [
    {"instance_key": "b", "source": "s", "outcome": "used", "size_bytes": 2, "lossy": False},
    {"instance_key": "a", "source": "s", "outcome": "skipped", "code": "E_EMPTY", "size_bytes": 0},
]


def test_an_index_comes_back_sorted_with_its_schema(lake):
    write_index(lake, "s", {"instances": ROWS})
    table = read_index(lake, "instances")
    assert table.column_names == [field.name for field in INSTANCES.fields]
    assert table["instance_key"].to_pylist() == ["a", "b"]
    assert table.to_pylist()[1]["size_bytes"] == 2
    assert table.to_pylist()[0]["lossy"] is None
    assert read_index(lake, "volumes").num_rows == 0


def test_sources_stand_beside_each_other_and_are_replaced_alone(lake):
    for source in ("s", "t"):
        write_index(lake, source, {"instances": [{**row, "source": source} for row in ROWS]})
    write_index(lake, "t", {"instances": [{"instance_key": "c", "source": "t"}]})
    assert index_sources(lake) == ["s", "t"]
    assert read_index(lake, "instances", columns=["instance_key"]).to_pylist() == [
        {"instance_key": key} for key in "abc"
    ]
    assert read_index(lake, "instances", source="t").num_rows == 1
    assert read_index(lake, "instances", source="u").num_rows == 0


def test_the_same_rows_are_the_same_generation(lake):
    first = write_index(lake, "s", {"instances": ROWS})
    assert write_index(lake, "s", {"instances": ROWS[::-1]}) == first
    assert write_index(lake, "s", {"instances": ROWS[:1]}) != first


def test_an_empty_lake_has_an_empty_index(lake):
    assert index_sources(lake) == []
    assert read_index(lake, "series").num_rows == 0


def test_an_unknown_table_is_refused(lake):
    for ask in (lambda: read_index(lake, "cases"), lambda: put_shard(lake, "s", "cases", Range(0, 0), [])):
        with pytest.raises(LakeError, match="no table cases"):
            ask()


def test_identifiers_are_refused_unless_the_lake_is_identified(lake, tmp_path, secret):
    rows = [{**ROWS[0], "path": "SMITH/JOHN"}]
    with pytest.raises(SecurityError) as refusal:
        write_index(lake, "s", {"instances": rows})
    assert "SMITH" not in str(refusal.value)
    assert index_sources(lake) == []
    identified = Lake.create(tmp_path / "identified", privacy="identified", secret=secret)
    write_index(identified, "s", {"instances": rows})
    assert read_index(identified, "instances")["path"].to_pylist() == ["SMITH/JOHN"]


def test_a_damaged_index_is_an_alarm(lake):
    generation = write_index(lake, "s", {"instances": ROWS})
    for path in (*lake.store.list("index/sources/s/instances"), LAYOUT.index_generation("s", generation)):
        file = lake.store.absolute(path)
        whole = file.read_bytes()
        for place in range(0, len(whole), 97):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(IntegrityError, match="index of s"):
                read_index(lake, "instances")
        file.write_bytes(whole)
    assert read_index(lake, "instances").num_rows == 2


def test_rows_lie_in_the_range_of_their_series_or_their_own(lake):
    rows = [
        {"instance_key": "00ff" + "0" * 28, "series_key": "c000" + "0" * 28, "source": "s"},
        {"instance_key": "8000" + "0" * 28, "source": "s"},
    ]
    write_index(lake, "s", {"instances": rows}, bits=2)
    generation = read_generation(lake, "s")
    assert set(generation.shards["instances"]) == {2, 3}
    found = {
        number: read_shard(lake, "s", generation, "instances", number)["instance_key"].to_pylist()
        for number in range(4)
    }
    assert found == {0: [], 1: [], 2: [rows[1]["instance_key"]], 3: [rows[0]["instance_key"]]}
    assert generation.rows == {"instances": 2}


def test_a_part_of_a_shard_has_the_rows_of_its_range(lake):
    rows = [{"series_key": f"{place:x}000" + "0" * 28, "source": "s"} for place in range(16)]
    write_index(lake, "s", {"series": rows})
    generation = read_generation(lake, "s")
    for one in all_ranges(3):
        table = read_shard(lake, "s", generation, "series", 0, within=one)
        assert table["series_key"].to_pylist() == [
            rows[place]["series_key"] for place in (2 * one.number, 2 * one.number + 1)
        ]


def test_generations_share_the_shards_that_did_not_change(lake):
    rows = [{"series_key": f"{place:x}000" + "0" * 28, "source": "s"} for place in range(16)]
    first = read_generation(lake, "s", write_index(lake, "s", {"series": rows}, bits=2))
    second = read_generation(lake, "s", write_index(lake, "s", {"series": rows[:-1]}, bits=2))
    assert {number for number in range(4) if first.shards["series"][number] != second.shards["series"][number]} == {3}
    assert len(list(lake.store.list("index/sources/s/series"))) == 5
    assert len(first.paths("s") & second.paths("s")) == 3
