"""What a flow may say of an exception that is not medpipe's own.

Prefect writes texts of exceptions into its log and its database, and such a text may quote a
header. So a bug is told by its type and its place.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medpipe.errors import MedpipeError


@contextmanager
def told_by_place() -> Iterator[None]:
    """Let medpipe's own errors pass; turn others into one that quotes nothing.

    ``MEDPIPE_TRACEBACK=1`` lets them pass as they are, for a developer.

    Raises
    ------
    MedpipeError
        In place of an exception of another kind.
    """
    try:
        yield
    except MedpipeError:
        raise
    except Exception as error:
        if os.environ.get("MEDPIPE_TRACEBACK"):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        raise MedpipeError(f"a bug: {type(error).__name__} at {place}; MEDPIPE_TRACEBACK=1 shows it whole") from None
