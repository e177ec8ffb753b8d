"""The shape of a recipe file: tables and fields, checked by pydantic.

Parameters of ops are checked afterwards by the register (:mod:`medpipe.ops.registry`), which
knows each op's own; here an op is a table with a name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
"""A name that is safe in a path and in a column: lower case, digits, dash, underscore."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_WORDS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}], "default": []}

Words = Annotated[list[str], BeforeValidator(_as_list), WithJsonSchema(_WORDS)]
"""A list of words; one word may stand without brackets."""


class WhereTable(_Table):
    """Which volumes a route takes; every condition given must hold."""

    modality: Words = Field(default=[], description="DICOM modalities, such as CT")
    kind: Words = Field(default=[], description="kinds of volume, such as volume or planar")
    body_part: Words = Field(default=[], description="closed body parts, such as CHEST")
    verdict: Words = Field(default=[], description="geometry verdicts, such as regular")
    min_slices: int = Field(default=1, ge=1, description="fewest slices along z")
    max_slices: int | None = Field(default=None, ge=1, description="most slices along z")


class RouteTable(_Table):
    """What happens to the volumes that fit: first route that fits takes the volume."""

    name: Name
    where: WhereTable = WhereTable()
    image: list[dict[str, Any]] = Field(default=[], description="image ops, in order")
    regions: list[dict[str, Any]] = Field(default=[], description="region sources")
    features: list[dict[str, Any]] = Field(default=[], description="extractions: name, op, image, parameters")
    models: list[str] = Field(default=[], description="models to score with: name, name@latest or name@digest")
    keep: list[Literal["original", "final"]] = Field(default=["original"], description="images to store")


class RecipeTable(_Table):
    """A whole recipe file."""

    name: Name
    description: str = ""
    route: list[RouteTable] = Field(min_length=1)


class ExtractionTable(BaseModel):
    """The part of an extraction that is not the extractor's own."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: Name
    op: str
    image: Literal["original", "final"] = "original"
