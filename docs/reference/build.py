"""Write the reference pages from the code, or check that they are current.

``python docs/reference/build.py`` writes; ``--check`` exits 1 and names the pages that differ.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from medpipe.archive.kernels import known_kernels
from medpipe.contracts.schema import Field, TableSchema
from medpipe.contracts.tables import FEATURE_KEYS, PERTURBED_KEYS, SCHEMAS
from medpipe.ops.parameters import json_schema
from medpipe.ops.registry import Family, registered
from medpipe.reasons import REASONS
from medpipe.recipe.preferences import named_preferences
from medpipe.recipe.schema import recipe_schema
from medpipe.recipe.shape import WhereTable

HERE = Path(__file__).parent
SELECT_RULES = (
    "A selection takes one volume of all that stand for choice together: that have what `one_per` names in common (`study`",
    "or `patient`, perhaps `modality` and `route`; `study` and `modality` if not said) and fit its `where`. Only volumes that",
    "a route takes stand for choice, each in the first selection that fits; one that fits none is not touched.",
    "",
    "Preferences are gone through in order. Each keeps the volumes that are as good as the best of those left; the next one",
    "decides among these. Lengths within 0.01 mm are equal, extents within 5 % of the longest too. A number that the header",
    "does not say comes last; a kernel, a contrast agent or an origin that it does not say comes between the two. What is",
    "equal in everything is told apart by the keys of series and volume, which depend on their identifiers alone.",
    "A localizer is chosen among localizers alone, whatever is preferred (`no_localizer` in `decided_by`).",
    '`keep = "series"` takes the other volumes of the best one\'s series too.',
)
FAMILIES: dict[Family, str] = {
    "image": "Image ops",
    "regions": "Region sources",
    "steps": "Steps on regions",
    "features": "Extractors",
    "align": "Aligners of companion images",
    "views": "Views: pictures and surfaces",
    "perturb": "Perturbations: images and regions as they might have been",
}


def tables_page() -> str:
    lines = [
        "# Tables",
        "",
        "Columns of every published table. A column is never renamed or given another meaning.",
        "",
    ]
    for schema in SCHEMAS.values():
        lines += [f"## `{schema.name}`", "", f"A row is {schema.row}. {_order(schema)}", ""]
        lines += _field_rows(schema.fields)
    features = "A row is a region, an image and an extraction: these columns, then one float64 column per feature."
    lines += ["## `features`", "", features, ""]
    lines += _field_rows(FEATURE_KEYS)
    perturbed = "A row is a row of `features`, measured once more as image and region might have been (`perturb` of a route)."
    lines += ["## `perturbed`", "", perturbed, ""]
    lines += _field_rows(PERTURBED_KEYS)
    return "\n".join(lines)


def _order(schema: TableSchema) -> str:
    own = f" A row without a series stands where its `{schema.own}` does." if schema.own else ""
    cut = " Files hold one modality and a range of series keys." if schema.is_cut else ""
    return f"Sorted by {', '.join(schema.order)}.{own}{cut}"


def _field_rows(fields: tuple[Field, ...]) -> list[str]:
    head = ["| column | type | meaning |", "| --- | --- | --- |"]
    return [*head, *(f"| `{field.name}` | {field.type} | {field.doc} |" for field in fields), ""]


def reasons_page() -> str:
    lines = ["# Reason codes", "", "Why a subject was set aside or flagged, and what to do about it.", ""]
    lines += ["| code | severity | what was found | what to do |", "| --- | --- | --- | --- |"]
    lines += [f"| `{code}` | {why.severity} | {why.message} | {why.remedy} |" for code, why in REASONS.items()]
    return "\n".join([*lines, ""])


def select_page() -> str:
    lines = ["# Preferences of `select`", "", *SELECT_RULES, ""]
    lines += ["| preference | what is better |", "| --- | --- |"]
    lines += [f"| `{name}` | {meaning} |" for name, (_, meaning) in named_preferences().items()]
    lines += ["| `{ thickness_mm = 2.5 }` | the thickness nearest to the number |", ""]
    lines += ["## Conditions", "", "Of routes and selections (`where`); every one given must hold.", ""]
    lines += ["| condition | meaning |", "| --- | --- |"]
    lines += [f"| `{name}` | {field.description} |" for name, field in WhereTable.model_fields.items()]
    lines += ["| `route` | routes that take them (selections only) |", ""]
    lines += ["## Kernels", "", "Classes of convolution kernels (`volumes.kernel_class`).", ""]
    lines += ["| maker | soft | sharp |", "| --- | --- | --- |"]
    lines += [f"| {maker} | {soft} | {sharp} |" for maker, soft, sharp in known_kernels()]
    return "\n".join([*lines, ""])


def ops_page() -> str:
    lines = ["# Ops", "", "Every registered op with its parameters, as a recipe names them.", ""]
    for family, title in FAMILIES.items():
        lines += [f"## {title}", ""]
        for name, op_type in registered(family).items():
            summary = (op_type.__doc__ or "").strip().partition("\n")[0]
            lines += [f"### `{name}` (version {op_type.version})", "", summary, ""]
            lines += _parameter_rows(op_type)
    return "\n".join(lines)


def _parameter_rows(op_type: type) -> list[str]:
    schema = json_schema(op_type)
    if not schema["properties"]:
        return ["No parameters.", ""]
    rows = ["| parameter | default | meaning |", "| --- | --- | --- |"]
    for name, entry in schema["properties"].items():
        default = "required" if name in schema["required"] else f"`{json.dumps(entry.get('default'))}`"
        rows.append(f"| `{name}` | {default} | {entry['description']} |")
    return [*rows, ""]


def schema_page() -> str:
    return json.dumps(recipe_schema(), indent=1, sort_keys=True) + "\n"


PAGES = {
    "tables.md": tables_page,
    "reasons.md": reasons_page,
    "ops.md": ops_page,
    "select.md": select_page,
    "recipe.schema.json": schema_page,
}


def main() -> int:
    stale = []
    for name, page in PAGES.items():
        path, text = HERE / name, page()
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        print(f"stale reference pages: {', '.join(stale)} (make docs writes them)")
    return bool(stale)


if __name__ == "__main__":
    raise SystemExit(main())
