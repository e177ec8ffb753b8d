"""Tables of a file held against their shape, with one clear error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from medpipe.errors import ConfigError

Shape = TypeVar("Shape", bound=BaseModel)


def checked(shape: type[Shape], tables: Mapping[str, Any], where: str) -> Shape:
    """Validate tables against a pydantic shape, with medpipe's one-line errors."""
    try:
        return shape.model_validate(dict(tables))
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(part for part in (where, *map(str, first["loc"])) if part)
        what = "no such field" if first["type"] == "extra_forbidden" else first["msg"][:1].lower() + first["msg"][1:]
        raise ConfigError(f"{path}: {what}") from None
