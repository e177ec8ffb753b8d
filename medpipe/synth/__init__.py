"""Phantom archives with known truth: DICOM that looks like a PACS export and is no person's."""

from __future__ import annotations

from medpipe.synth.make import make_archive
from medpipe.synth.truth import Truth

__all__ = ["Truth", "make_archive"]
