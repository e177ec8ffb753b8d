"""Integers of a header, as they come back from JSON: none has more than 64 bits, as in DICOM."""

from __future__ import annotations

from typing import Annotated

import msgspec

Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A larger one is refused in decoding: as a float or in a table it would be an error of whoever uses it."""
