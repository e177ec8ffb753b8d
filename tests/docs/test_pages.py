"""What the pages show runs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np

from medpipe.models.network_card import NetworkCard
from medpipe.ops import register, registry
from medpipe.recipe.recipe import parse_recipe
from medpipe.types import Geometry, Volume
from tests.ops.test_ibsi_outliers import E

ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_recipe_of_the_readme_parses():
    whole, part = blocks("README.md", "toml")
    assert [route.name for route in parse_recipe(tomllib.loads(whole)).routes] == ["ct"]
    (route,) = parse_recipe(tomllib.loads(f'name = "part"\n[[route]]\nname = "any"\n{part}')).routes
    assert [one.name for one in (*route.regions, *route.views, *route.companions)] == ["avid", "mip", "pet"]


def test_the_recipe_of_the_page_on_stability_parses():
    (text,) = blocks("docs/stability.md", "toml")
    (route,) = parse_recipe(tomllib.loads(text)).routes
    assert [one.name for one in route.perturb] == ["rescanned", "redrawn"]
    assert not route.perturb[1].takes("bins32")


def test_the_recipe_of_the_page_on_quality_parses_and_its_columns_are_there():
    (text,) = blocks("docs/quality.md", "toml")
    (route,) = parse_recipe(tomllib.loads(text)).routes
    names = {column.name for column in route.features[0].op.columns}
    page = (ROOT / "docs/quality.md").read_text(encoding="utf-8")
    assert set(re.findall(r"qc_[a-z_]*[a-z]\b", page)) <= names | {"qc_fg", "qc_bg"}


def test_the_recipe_of_the_page_on_uptake_parses():
    alone, beside = (parse_recipe(tomllib.loads(text)).routes[0] for text in blocks("docs/suv.md", "toml"))
    assert alone.suv is not None
    assert [one.image for one in beside.features] == ["original", "pet", "pet"]


def test_the_recipe_of_the_page_on_filters_parses():
    (text,) = blocks("docs/filters.md", "toml")
    (route,) = parse_recipe(tomllib.loads(text)).routes
    names = {column.name for extraction in route.features for column in extraction.op.columns}
    assert {"log_3D_s1_5_stat_mean", "laws_3D_L5E5E5_inv_max_energy_7_cm_contrast_3D_avg"} <= names


def test_the_recipe_of_the_page_on_ibsi_is_configuration_e_of_the_standard():
    (text,) = blocks("docs/ibsi.md", "toml")
    (extraction,) = parse_recipe(tomllib.loads(text)).routes[0].features
    assert replace(extraction.op, families=E.families) == E


def test_the_card_and_the_recipe_of_the_page_on_models_are_read():
    card, recipe = blocks("docs/models.md", "toml")
    assert NetworkCard.from_table(tomllib.loads(card)).facts.patch == (32, 64, 64)
    (route,) = parse_recipe(tomllib.loads(recipe)).routes
    assert [op.name for op in route.image] == ["resample", "learned"]


def test_the_python_of_the_readme_compiles_and_names_what_exists():
    import medpipe

    (text,) = blocks("README.md", "python")
    compile(text, "README.md", "exec")
    for name in re.findall(r"medpipe\.(\w+)\(", text):
        assert name in medpipe.__all__


def test_the_commands_of_the_readme_exist():
    text = "\n".join(block for block in blocks("README.md", ""))
    shown = set(re.findall(r"^medpipe\s+(\w+)", text, flags=re.MULTILINE))
    listed = subprocess.run(
        [sys.executable, "-m", "medpipe", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert shown
    assert all(re.search(rf"\b{command}\b", listed) for command in shown)


def test_the_targets_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"^make (\w+)", "\n".join(blocks("README.md", "")), flags=re.MULTILINE)) <= targets


def test_the_op_of_the_page_on_ops_works(monkeypatch):
    monkeypatch.setitem(register.REGISTERED, "image", dict(register.REGISTERED["image"]))
    (text,) = blocks("docs/writing-an-op.md", "python")
    names: dict[str, object] = {"__name__": "page"}
    monkeypatch.setitem(sys.modules, "page", type(sys)("page"))
    exec(compile(text, "writing-an-op.md", "exec"), names)
    op = names["Floor"](at=-1.0)
    data = np.array([[[-5.0, 2.0]]], dtype=np.float32)
    volume = Volume(data=data, geometry=Geometry(shape=data.shape))
    assert op(volume).data.tolist() == [[[-1.0, 2.0]]]
    assert data[0, 0, 0] == -5.0
    assert registry.spec_of(op) == {"op": "floor", "version": 1, "at": -1.0}


def test_the_reference_pages_are_current():
    found = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "reference" / "build.py"), "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout
