"""Commands that tell about medpipe itself: ops, schema, recipe, doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from medpipe.cli.options import JSON
from medpipe.cli.root import app
from medpipe.cli.show import print_json, print_table


@app.command()
def ops(*, as_json: JSON = False) -> int:
    """List the registered ops with their parameters."""
    from medpipe.app.reference import list_ops

    rows = list_ops()
    if as_json:
        print_json(rows)
    else:
        columns = ("family", "op", "version", "parameters", "summary")
        print_table(columns, [[row[column] for column in columns] for row in rows])
    return 0


@app.command()
def schema() -> int:
    """Print the JSON Schema of recipe files."""
    from medpipe.recipe.schema import recipe_schema

    print_json(recipe_schema())
    return 0


@app.command()
def recipe(*, name: Annotated[str | None, typer.Argument(help="a shipped recipe to print")] = None) -> int:
    """List the shipped recipes, or print one to start your own from."""
    from medpipe.app.reference import recipe_text
    from medpipe.recipe.recipe import shipped_recipes

    print("\n".join(shipped_recipes()) if name is None else recipe_text(name))
    return 0


@app.command()
def doctor(*, as_json: JSON = False) -> int:
    """Check this machine: Python, libraries, codecs, memory, device, key."""
    from medpipe.app.doctor import check_machine

    rows = check_machine()
    if as_json:
        print_json(rows)
    else:
        print_table(("what", "ok", "found"), [[row["what"], row["ok"], row["found"]] for row in rows])
    return 0 if all(row["ok"] != "no" for row in rows) else 5
