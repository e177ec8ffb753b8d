"""The shape of a recipe file: tables and fields, checked by pydantic.

Parameters of ops are checked afterwards by the register (:mod:`medpipe.ops.registry`), which
knows each op's own; here an op is a table with a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

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

Group = Literal["study", "patient", "modality", "route"]
KernelClass = Literal["soft", "sharp", "unknown"]
Grid = Literal["image", "companion"]


def _one_or_more(words: Any, *, least: int) -> dict[str, Any]:
    listed = {"type": "array", "items": {"enum": list(get_args(words))}, "minItems": least}
    return {"anyOf": [{"enum": list(get_args(words))}, listed]}


def _as_tables(value: Any) -> Any:
    return [value] if isinstance(value, Mapping) else value


class WhereTable(_Table):
    """Which volumes a route takes; every condition given must hold."""

    modality: Words = Field(default=[], description="DICOM modalities, such as CT")
    kind: Words = Field(default=[], description="kinds of volume, such as volume or planar")
    body_part: Words = Field(default=[], description="closed body parts, such as CHEST")
    verdict: Words = Field(default=[], description="geometry verdicts, such as regular")
    min_slices: int = Field(default=1, ge=1, description="fewest slices along z")
    max_slices: int | None = Field(default=None, ge=1, description="most slices along z")
    kernel: Annotated[
        list[KernelClass], BeforeValidator(_as_list), WithJsonSchema(_one_or_more(KernelClass, least=0))
    ] = Field(default=[], description="classes of convolution kernels; unknown: neither, or not known")
    min_thickness_mm: float | None = Field(
        default=None, gt=0, description="least slice thickness; a volume that says none is not taken"
    )
    max_thickness_mm: float | None = Field(
        default=None, gt=0, description="greatest slice thickness; a volume that says none is not taken"
    )
    min_coverage_mm: float | None = Field(default=None, gt=0, description="least extent along the slice normal")
    contrast: bool | None = Field(
        default=None, description="with, or without, a contrast agent, and the header says so"
    )
    derived: bool | None = Field(default=None, description="derived, or original, images, and the header says so")


class SelectWhereTable(WhereTable):
    """Which volumes stand for choice together; every condition given must hold."""

    route: Words = Field(default=[], description="routes that take them")


class SelectTable(_Table):
    """Of volumes of a study or patient, one is taken: the first selection whose `where` fits has a volume."""

    one_per: Annotated[list[Group], BeforeValidator(_as_list), WithJsonSchema(_one_or_more(Group, least=1))] = Field(
        default=["study", "modality"],
        min_length=1,
        description="what volumes that stand for choice together have in common: study or patient, and what else",
    )
    where: SelectWhereTable = SelectWhereTable()
    prefer: list[Any] = Field(min_length=1, description="in order: the next decides among those that are equal so far")
    keep: Literal["volume", "series"] = Field(
        default="volume", description="take the best volume, or with it the others of its series"
    )


class NearestTable(_Table):
    """A preference for a number."""

    thickness_mm: float = Field(gt=0, description="the thickness nearest to it")


class CompanionTable(_Table):
    """Another image of the study that cases of a route look at: one volume, the best that fits."""

    name: Name
    where: WhereTable = WhereTable()
    prefer: list[Any] = Field(
        default=[],
        description="preferences, as in select; before them, one frame of reference with the image of the case",
    )
    image: list[dict[str, Any]] = Field(default=[], description="image ops on the companion image, in order")
    align: dict[str, Any] = Field(default={"op": "same_frame"}, description="how it is brought onto the image's grid")
    fuse: bool = Field(
        default=False, description="store the image and, as a second channel, the companion image on its grid"
    )


class PerturbTable(_Table):
    """The image and its regions as they might have been, some times over, to tell how stable features are."""

    name: Name
    times: int = Field(default=10, ge=1, le=1000, description="how many times, each with draws of its own")
    steps: list[dict[str, Any]] = Field(min_length=1, description="perturbations, in order")
    features: list[str] = Field(default=[], description="extractions that are measured so; all if not said")


class RouteTable(_Table):
    """What happens to the volumes that fit: first route that fits takes the volume."""

    name: Name
    where: WhereTable = WhereTable()
    image: list[dict[str, Any]] = Field(default=[], description="image ops, in order")
    regions: list[dict[str, Any]] = Field(default=[], description="region sources: op, name, after, then, parameters")
    features: list[dict[str, Any]] = Field(default=[], description="extractions: name, op, image, parameters")
    companions: list[CompanionTable] = Field(default=[], description="other images of the study to look at")
    views: list[dict[str, Any]] = Field(default=[], description="pictures and surfaces: name, op, image, parameters")
    perturb: list[PerturbTable] = Field(default=[], description="perturbations, to tell how stable features are")
    models: list[str] = Field(default=[], description="models to score with: name, name@latest or name@digest")
    keep: list[Literal["original", "final"]] = Field(default=["original"], description="images to store")


class RecipeTable(_Table):
    """A whole recipe file."""

    name: Name
    description: str = ""
    select: Annotated[list[SelectTable], BeforeValidator(_as_tables)] = Field(
        default=[], description="choices among the volumes that routes take"
    )
    route: list[RouteTable] = Field(min_length=1)


class RegionTable(BaseModel):
    """The part of a region source that is not the op's own."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    op: str
    name: str = Field(default="", description="name of its regions; that of the op if not given")
    after: list[dict[str, Any]] = Field(
        default=[], description="image ops: the source looks at its image after these, on the grid of the original"
    )
    then: list[dict[str, Any]] = Field(default=[], description="steps on each of its regions, in order")
    image: Name = Field(
        default="original",
        description="image it looks at: original, or the name of a companion, on the grid of the original",
    )


class ExtractionTable(BaseModel):
    """The part of an extraction that is not the extractor's own."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: Name
    op: str
    image: Name = Field(default="original", description="image measured: original, final, or the name of a companion")
    grid: Grid = Field(
        default="image",
        description="of a companion: measured on the grid of the original image, or on its own, to which regions are carried",
    )


class ViewTable(BaseModel):
    """The part of a view that is not the op's own."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: Name
    op: str
    image: Name = Field(default="original", description="image shown: original, final, or the name of a companion")
