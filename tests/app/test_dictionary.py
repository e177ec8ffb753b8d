from __future__ import annotations

import math
from typing import Any

from medpipe.app.dictionary import dictionary_rows
from medpipe.contracts.tables import FEATURE_DICTIONARY
from medpipe.ops.pyradiomics_columns import FEATURES
from medpipe.recipe.lock import lock_recipe
from medpipe.recipe.recipe import parse_recipe

FEATURE_TABLES = [
    {"name": "width", "op": "ibsi", "families": ["statistics", "glcm", "intensity_histogram"], "bin_width": 25.0},
    {"name": "range", "op": "ibsi", "families": ["statistics", "glcm"], "bin_width": 25.0, "range": [-1000.0, 400.0]},
    {"name": "lbp", "op": "lbp"},
    {"name": "theirs", "op": "pyradiomics", "names": "pyradiomics", "bins": 32},
]


def _rows() -> dict[tuple[str, str], dict[str, Any]]:
    return _rows_of({"name": "all", "regions": [{"op": "body"}], "features": FEATURE_TABLES})


def _rows_of(route: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    recipe = parse_recipe({"name": "test", "route": [route]})
    rows = dictionary_rows(lock_recipe(recipe, lambda name: None))  # type: ignore[arg-type, return-value]  # no model is named
    return {(row["extraction"], row["name"]): row for row in rows}


def test_every_column_of_every_family_has_a_row_with_all_fields() -> None:
    rows = _rows()
    assert all(set(row) == {field.name for field in FEATURE_DICTIONARY.fields} for row in rows.values())
    assert sum(extraction == "theirs" for extraction, _ in rows) == 107
    for row in rows.values():
        assert row["compliance"] in ("ibsi", "deviates", "none")
        assert (row["compliance"] == "none") == (row["ibsi"] is None)
        assert row["unit"]
        limits = [row["low"], row["high"]]
        assert all(limit is None or math.isfinite(limit) for limit in limits)


def test_compliance_is_withdrawn_from_what_a_step_went_into() -> None:
    rows = _rows()
    assert rows["width", "cm_contrast_3D_avg"]["compliance"] == "deviates"
    assert rows["width", "ih_mean"]["compliance"] == "deviates"
    assert rows["width", "stat_mean"]["compliance"] == "ibsi"
    assert rows["range", "cm_contrast_3D_avg"]["compliance"] == "ibsi"
    assert rows["lbp", "lbp_0"]["compliance"] == "none"
    assert rows["theirs", "original_firstorder_Kurtosis"]["compliance"] == "deviates"
    assert rows["theirs", "original_glcm_Contrast"]["compliance"] == "ibsi"


def test_features_have_the_names_that_pyradiomics_gives_them() -> None:
    rows = _rows()
    assert rows["width", "cm_contrast_3D_avg"]["alias"] == "original_glcm_Contrast"
    assert rows["width", "cm_contrast_3D_comb"]["alias"] is None
    assert rows["width", "stat_p10"]["alias"] == "original_firstorder_10Percentile"
    assert rows["width", "ih_entropy"]["alias"] == "original_firstorder_Entropy"
    assert rows["width", "stat_cov"]["alias"] is None
    named = {row["alias"] for (extraction, _), row in rows.items() if extraction == "theirs"}
    assert named == {
        f"original_{family}_{feature.name}"
        for family, features in FEATURES.items()
        for feature in features
        if family != "shape2D"
    }
    assert rows["theirs", "original_firstorder_Mean"]["discretisation"] is None
    assert rows["theirs", "original_firstorder_Entropy"]["discretisation"] == "fixed bin number 32"


def test_the_unit_of_a_companion_image_is_told_where_the_recipe_makes_it() -> None:
    pet = {"name": "pet", "image": [{"op": "suv"}]}
    body = {"op": "ibsi", "families": ["statistics", "morphology"], "image": "pet"}
    features = [{"name": "uptake", **body}, {"name": "plain", **body, "image": "mr"}]
    route = {"name": "all", "regions": [{"op": "body"}], "companions": [pet, {"name": "mr"}], "features": features}
    recipe = parse_recipe({"name": "test", "route": [route]})
    rows = dictionary_rows(lock_recipe(recipe, lambda name: None))  # type: ignore[arg-type, return-value]  # no model is named
    told = {(row["extraction"], row["name"]): (row["image"], row["unit"]) for row in rows}
    assert {told["uptake", name] for name in ("stat_mean", "stat_max")} == {("pet", "g/mL")}
    assert told["uptake", "stat_var"] == ("pet", "(g/mL)^2")
    assert told["uptake", "morph_integ_int"] == ("pet", "g/mL*mm3")
    assert told["uptake", "stat_skew"] == ("pet", "1")
    assert told["uptake", "morph_volume"] == ("pet", "mm3")
    assert told["plain", "stat_mean"] == ("mr", "image")


def test_compliance_is_withdrawn_where_a_filter_of_the_chain_came_too_early() -> None:
    families = ["statistics", "morphology", "glcm"]
    steps = {
        "early": {"bins": 8, "resample_mm": [2, 2, 2]},
        "ranged": {"bins": 8, "range": [0.0, 5.0]},
        "width": {"bin_width": 2.0},
        "plain": {"bins": 8},
        "original": {"bins": 8, "range": [0.0, 5.0], "image": "original"},
    }
    features = [
        {"name": name, "op": "ibsi", "families": families, "image": "final", **step} for name, step in steps.items()
    ]
    expected = {
        "early": ("deviates", "ibsi", "deviates", "deviates"),
        "ranged": ("deviates", "ibsi", "deviates", "deviates"),
        "width": ("ibsi", "ibsi", "ibsi", "deviates"),
        "plain": ("ibsi",) * 4,
        "original": ("ibsi",) * 4,
    }
    names = ("stat_mean", "morph_volume", "morph_integ_int", "cm_contrast_3D_avg")
    route = {"name": "all", "regions": [{"op": "body"}], "features": features}
    rows = _rows_of(route | {"image": [{"op": "median", "size": 3}, {"op": "laws", "kernels": "L5E5E5"}]})
    assert {name: tuple(rows[name, column]["compliance"] for column in names) for name in steps} == expected
