from __future__ import annotations

import pytest

from medpipe.errors import ConfigError
from medpipe.ops.registry import registered
from medpipe.recipe.recipe import load_recipe, parse_recipe


def recipe(**changes):
    """Return the tables of a whole recipe, with fields of its one route changed."""
    route = {
        "name": "ct",
        "where": {"modality": "CT", "min_slices": 3},
        "image": [{"op": "median", "size": 3}, {"op": "window", "preset": "soft_tissue"}],
        "regions": [{"op": "body"}, {"op": "segmentation_objects", "map": {"gtv": "(?i)gtv"}}],
        "features": [
            {"name": "radiomics", "op": "ibsi", "bins": 32},
            {"name": "lbp", "op": "lbp", "image": "final"},
        ],
        "models": [],
    }
    return {"name": "mine", "route": [{**route, **changes}]}


def refusal(tables):
    with pytest.raises(ConfigError) as refused:
        parse_recipe(tables)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_a_recipe_becomes_ops_in_the_order_of_its_tables():
    route = parse_recipe(recipe()).routes[0]
    assert [op.name for op in route.image] == ["median", "window"]
    assert [op.name for op in route.regions] == ["body", "segmentation_objects"]
    assert [(entry.name, entry.image) for entry in route.features] == [("radiomics", "original"), ("lbp", "final")]
    assert route.where.modality == ("CT",)
    assert route.keep == ("original",)


@pytest.mark.parametrize(
    ("changes", "path", "why"),
    [
        ({"image": [{"op": "median"}, {"op": "window", "preset": "soft"}]}, "route.0.image.1.preset", "none of"),
        ({"image": [{"op": "median", "size": "3"}]}, "route.0.image.0.size", "found str"),
        ({"image": [{"op": "gaussian", "sigma_mm": -1.0}]}, "route.0.image.0.sigma_mm", "mm"),
        ({"image": [{"op": "gaussian", "sigma_mm": float("nan")}]}, "route.0.image.0.sigma_mm", "no finite number"),
        ({"image": [{"op": "gaussian", "sigma_voxels": 1.0}]}, "route.0.image.0.sigma_voxels", "no such parameter"),
        ({"image": [{"op": "gaussian"}]}, "route.0.image.0.sigma_mm", "required, but missing"),
        ({"image": [{"op": "median", "size": True}]}, "route.0.image.0.size", "found bool"),
        ({"image": [{"op": "clip", "low": 2.0, "high": 1.0}]}, "route.0.image.0", "low"),
        ({"image": [{"op": "resample", "spacing_mm": [1, 1]}]}, "route.0.image.0.spacing_mm", "3 values"),
        ({"image": [{"op": "resample", "spacing_mm": [1, 1, "1"]}]}, "route.0.image.0.spacing_mm.2", "found str"),
        ({"image": [{"op": "sharpen"}]}, "route.0.image.0.op", "no image op"),
        ({"image": [{"size": 3}]}, "route.0.image.0.op", "no image op"),
        ({"image": [{"op": "body"}]}, "route.0.image.0.op", "no image op"),
        ({"regions": [{"op": "median"}]}, "route.0.regions.0.op", "no regions op"),
        ({"regions": [{"op": "segmentation_objects", "map": {"gtv": "("}}]}, "route.0.regions.0", "no regular"),
        ({"regions": [{"op": "segmentation_objects", "map": {"G T V": "gtv"}}]}, "route.0.regions.0", "no label"),
        ({"regions": [{"op": "segmentation_objects", "map": {"g" * 65: "gtv"}}]}, "route.0.regions.0", "no label"),
        ({"regions": [{"op": "body"}, {"op": "body", "ct_above_hu": -300.0}]}, "route.0.regions", "twice"),
        ({"regions": []}, "route.0.regions", "at least one"),
        ({"features": [{"op": "lbp"}]}, "route.0.features.0.name", "required"),
        ({"features": [{"name": "a", "op": "glrlm"}]}, "route.0.features.0.op", "no features op"),
        ({"features": [{"name": "a", "op": "lbp", "image": "last"}]}, "route.0.features.0.image", "no image 'last'"),
        ({"features": [{"name": "A b", "op": "lbp"}]}, "route.0.features.0.name", "pattern"),
        ({"features": [{"name": "a", "op": "lbp"}, {"name": "a", "op": "lbp"}]}, "route.0.features", "one name"),
        ({"features": [{"name": "a", "op": "ibsi"}]}, "route.0.features.0", "bin_width or bins"),
        ({"image": []}, "route.0.features.1.image", "it has none"),
        ({"where": {"modalities": ["CT"]}}, "route.0.where.modalities", "no such field"),
        ({"where": {"modality": 3}}, "route.0.where.modality", "list"),
        ({"where": {"min_slices": 0}}, "route.0.where.min_slices", "greater than or equal to 1"),
        ({"where": {"min_slices": "8"}}, "route.0.where.min_slices", "integer"),
        ({"keep": ["origin"]}, "route.0.keep.0", "'original' or 'final'"),
        ({"keep": ["final"]}, "route.0.keep", "always stored"),
        ({"models": "nodule"}, "route.0.models", "list"),
        ({"workers": 4}, "route.0.workers", "no such field"),
        ({"name": "../x"}, "route.0.name", "pattern"),
    ],
)
def test_each_wrong_field_is_one_line_with_its_path(changes, path, why):
    message = refusal(recipe(**changes))
    assert message.startswith(f"{path}: ")
    assert why in message


@pytest.mark.parametrize(
    ("tables", "path", "why"),
    [
        ({}, "name", "required"),
        ({"name": "mine"}, "route", "required"),
        ({"name": "mine", "route": []}, "route", "at least 1"),
        ({"name": "mine", "route": [{}]}, "route.0.name", "required"),
        ({"name": "mine", "route": {"name": "ct"}}, "route", "list"),
        ({"name": "mine", "route": [{"name": "a"}, {"name": "a"}]}, "route", "one name"),
        ({"name": "mine", "route": [{"name": "a"}], "engine": "dask"}, "engine", "no such field"),
        ({"name": 5, "route": [{"name": "a"}]}, "name", "string"),
        ({"name": "mine", "route": ["ct"]}, "route.0", "dictionary"),
        ({"name": "mine", "route": [{"name": "a", "image": ["median"]}]}, "route.0.image.0", "dictionary"),
    ],
)
def test_each_wrong_table_is_one_line_with_its_path(tables, path, why):
    message = refusal(tables)
    assert message.startswith(f"{path}: ")
    assert why in message


def test_an_unknown_op_is_answered_with_those_there_are():
    message = refusal(recipe(image=[{"op": "sharpen"}]))
    assert all(name in message for name in registered("image"))


def test_a_parameter_out_of_range_names_the_bound_and_its_unit():
    assert "0.0 mm" in refusal(recipe(image=[{"op": "gaussian", "sigma_mm": -1.0}]))


def test_toml_that_is_none_names_the_file_and_the_line(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text("name = \n")
    with pytest.raises(ConfigError, match=r"^r\.toml: not valid TOML: .*line 1"):
        load_recipe(path)


def test_a_missing_recipe_is_answered_with_those_shipped():
    with pytest.raises(ConfigError, match=r"nowhere\.toml.*no such file.*whole-archive"):
        load_recipe("nowhere.toml")


def test_a_recipe_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "r.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(path)


def test_a_recipe_file_that_is_a_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_recipe(tmp_path)


def test_a_file_may_bear_any_path(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('name = "mine"\n[[route]]\nname = "all"\n')
    assert load_recipe(str(path)).routes[0].where.takes({"shape": [1, 2, 3]}) is None
