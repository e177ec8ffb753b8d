import pytest

from medpipe.contracts.tables import INSTANCES
from medpipe.errors import IntegrityError, LakeError, SecurityError
from medpipe.lake.index import index_sources, read_index, write_index
from medpipe.lake.lake import Lake

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
    for ask in (lambda: read_index(lake, "cases"), lambda: write_index(lake, "s", {"cases": []})):
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
    path = lake.store.absolute(f"index/s/{generation}/instances.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(IntegrityError, match="index of s"):
        read_index(lake, "instances")
