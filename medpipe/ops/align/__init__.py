"""Aligners: how a companion image lies to a case's image. Importing this package registers them."""

from __future__ import annotations

from medpipe.ops.align.frame import SameFrame
from medpipe.ops.align.rigid import Rigid

__all__ = ["Rigid", "SameFrame"]
