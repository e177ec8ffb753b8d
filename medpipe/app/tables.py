"""The public tables of a range, derived from index, plan and committed records.

Pure: the same inputs give the same rows. Identities join here, by the case's volume; the
products themselves hold none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medpipe.app.case_rows import case_rows
from medpipe.app.dictionary import dictionary_rows
from medpipe.app.ended import Ended, Records, Row, Shapes
from medpipe.app.index_tables import IndexRows, instance_rows, member_rows, refusal_rows, volume_row
from medpipe.contracts.schema import TableSchema
from medpipe.contracts.tables import FEATURE_DICTIONARY, RUNS, SCHEMAS, features_schema, perturbed_schema
from medpipe.keys import digest
from medpipe.plan.cases import Case, Plan
from medpipe.reasons import REASONS
from medpipe.recipe.lock import LockedRecipe

Tables = dict[str, tuple[TableSchema, list[Row]]]

_ROWS_VERSION = 2
"""Raised when rows are made in another way of the same inputs."""


def cut_schemas(lock: LockedRecipe) -> dict[str, TableSchema]:
    """Return the tables that are made range by range."""
    features = features_schema(lock.recipe.feature_columns())
    perturbed = perturbed_schema(lock.recipe.perturbed_columns())
    return {schema.name: schema for schema in (*SCHEMAS.values(), features, perturbed) if schema.is_cut}


def single_tables(lock: LockedRecipe, runs: Sequence[Row]) -> Tables:
    """Return the tables that are made at once."""
    return {
        "feature_dictionary": (FEATURE_DICTIONARY, dictionary_rows(lock)),
        "runs": (RUNS, list(runs)),
    }


def basis_of(lock: LockedRecipe, privacy: str) -> str:
    """Return a digest of what the rows of all ranges depend on beside index and results."""
    schemas = (*SCHEMAS.values(), perturbed_schema(()))
    columns = [[schema.name, schema.version, [field.name for field in schema.fields]] for schema in schemas]
    # names of images are in the rows and, where a route has no image ops, in no digest
    images = [[route.name, [[entry.name, entry.image] for entry in route.features]] for route in lock.recipe.routes]
    return digest([_ROWS_VERSION, lock.digest, images, privacy, columns, sorted(REASONS.items())])


def _ended(shapes: Shapes, case: Case, records: Records, volume: Row) -> Ended:
    return shapes.ended(case, records, modality=volume["modality"], flags=volume.get("flags") or ())


def range_rows(shapes: Shapes, index: IndexRows, plan: Plan, records: Records) -> dict[str, list[Row]]:
    """Return the rows of a range by table, in any order.

    Raises
    ------
    IntegrityError
        If a case of the plan has no outcome.
    """
    volumes: Mapping[str, Row] = {row["volume_key"]: row for row in index.volumes}
    ended = [_ended(shapes, case, records, volumes[case.volume_key]) for case in plan.cases]
    by_volume = {one.case.volume_key: one for one in ended}
    tables: dict[str, list[Row]] = {name: [] for name in cut_schemas(shapes.lock)}
    tables["volumes"] = [volume_row(row, by_volume.get(row["volume_key"]), plan) for row in index.volumes]
    tables["instances"] = instance_rows(index, by_volume, plan)
    tables["members"] = list(member_rows(index))
    tables["series"] = list(index.series)
    tables["quarantine"] = list(refusal_rows(tables["instances"], index.volumes))
    for one in ended:
        for name, row in case_rows(one, shapes):
            tables[name].append(row)
    tables["quarantine"] = [row for row in tables["quarantine"] if row["severity"] != "info"]
    return tables
