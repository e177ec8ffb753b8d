"""Commands that tell about medpipe itself: ops, schema, recipe, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from medpipe.cli.options import JSON
from medpipe.cli.root import app
from medpipe.cli.show import print_json, print_table
from medpipe.errors import ConfigError


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
def recipe(
    *,
    name: Annotated[
        str | None, typer.Argument(help="a shipped recipe to print, or import to translate a parameter file")
    ] = None,
    file: Annotated[
        Path | None, typer.Argument(readable=False, help="with import: parameter file of pyradiomics (YAML or JSON)")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="with import: file for the recipe")] = None,
    names: Annotated[
        Literal["medpipe", "pyradiomics"], typer.Option(help="with import: how columns are named")
    ] = "medpipe",
    as_json: JSON = False,
) -> int:
    """List the shipped recipes, print one to start your own from, or import a parameter file of pyradiomics.

    A recipe that is imported is printed, or written with --output; each entry of the file is told
    with what became of it.
    """
    from medpipe.app.reference import recipe_text
    from medpipe.recipe.recipe import shipped_recipes

    if name == "import" and file is not None:
        return _import(file, output, names, as_json)
    if file is not None or name == "import":
        raise ConfigError("medpipe recipe import FILE translates a parameter file; a shipped recipe is named alone")
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


def _import(file: Path, output: Path | None, names: Literal["medpipe", "pyradiomics"], as_json: bool) -> int:  # noqa: FBT001  # as the command has it
    from medpipe.app.reference import import_parameters

    found = import_parameters(file, names=names)
    if output is not None:
        try:
            output.write_text(found.toml, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{output}: cannot be written ({type(error).__name__})") from None
    rows = [note._asdict() for note in found.notes]
    if as_json:
        print_json({"recipe": found.toml, "notes": rows})
    elif output is None:
        print(found.toml, end="")
    else:
        columns = ("place", "value", "outcome", "said")
        print_table(columns, [[row[column] for column in columns] for row in rows])
    return 0
