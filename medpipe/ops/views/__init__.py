"""Views: pictures and surfaces that a recipe asks for. Importing this package registers them."""

from __future__ import annotations

from medpipe.ops.views.pictures import Projection, Thumbnail
from medpipe.ops.views.surface import Surface

__all__ = ["Projection", "Surface", "Thumbnail"]
