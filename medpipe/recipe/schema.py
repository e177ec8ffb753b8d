"""JSON Schema of a recipe file, with every registered op's parameters, for editors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from medpipe.ops.parameters import json_schema
from medpipe.ops.registry import Family, registered
from medpipe.recipe.preferences import named_preferences
from medpipe.recipe.shape import ExtractionTable, NearestTable, RecipeTable, RegionTable, ViewTable

_FRAMES: dict[Family, type[BaseModel]] = {"features": ExtractionTable, "views": ViewTable}
"""What an entry says beside the op's own parameters."""


def recipe_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of recipe files."""
    schema = RecipeTable.model_json_schema()
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    families: tuple[Family, ...] = ("image", "regions", "steps", "features", "align", "views", "perturb")
    for family in families:
        definitions[f"{family}_op"] = {"oneOf": [_op_schema(family, name) for name in registered(family)]}
        # perturbations are tables of their own, with the ops among their steps
        if family != "perturb" and family in definitions["RouteTable"]["properties"]:
            definitions["RouteTable"]["properties"][family]["items"] = {"$ref": f"#/$defs/{family}_op"}
    definitions["PerturbTable"]["properties"]["steps"]["items"] = {"$ref": "#/$defs/perturb_op"}
    companion = definitions["CompanionTable"]["properties"]
    companion["image"]["items"] = {"$ref": "#/$defs/image_op"}
    companion["align"] = {
        "$ref": "#/$defs/align_op",
        **{name: companion["align"][name] for name in ("default", "description")},
    }
    definitions["NearestTable"] = NearestTable.model_json_schema()
    words = [{"const": name, "description": meaning} for name, (_, meaning) in named_preferences().items()]
    preferences = definitions["SelectTable"]["properties"]["prefer"]
    preferences["items"] = {"oneOf": [*words, {"$ref": "#/$defs/NearestTable"}]}
    companion["prefer"]["items"] = preferences["items"]
    select = schema["properties"]["select"]
    listed = {"type": select.pop("type"), "items": select.pop("items")}
    select["anyOf"] = [listed["items"], listed]
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "medpipe recipe"
    return schema


def _op_schema(family: Family, name: str) -> dict[str, Any]:
    op_type = registered(family)[name]
    schema = json_schema(op_type)
    schema["properties"] = {"op": {"const": name}, **schema["properties"]}
    schema["required"] = ["op", *schema["required"]]
    if family in _FRAMES:
        frame = _FRAMES[family].model_json_schema()["properties"]
        schema["properties"] = {name: frame[name] for name in frame if name != "op"} | schema["properties"]
        schema["required"] = ["name", *schema["required"]]
    if family == "regions":
        schema["properties"] |= _around(is_of_image=not op_type.uses_companions)
    schema["title"] = name
    schema["description"] = (op_type.__doc__ or "").strip().partition("\n")[0]
    return schema


def _around(*, is_of_image: bool) -> dict[str, Any]:
    """Return the schema of what may stand around a region source."""
    frame = RegionTable.model_json_schema()["properties"]
    found = {"then": {**frame["then"], "items": {"$ref": "#/$defs/steps_op"}}}
    if is_of_image:
        after = {**frame["after"], "items": {"$ref": "#/$defs/image_op"}}
        found |= {"name": frame["name"], "image": frame["image"], "after": after}
    return found
