"""Importing this module loads the compiled pass over heads: a process that forks readers does it once for all."""

from __future__ import annotations

from medpipe.archive.quick.reader import QuickReader

QuickReader().read(b"", path="", size=0, version="", more=lambda _offset, _count: b"")
