"""Files that are gone: taken out of the index, or only proposed."""

from __future__ import annotations

from collections.abc import Iterable

from medpipe.app.listing import Entry

FEW_FILES = 20
"""So many files may be gone without a question, if they are not more than half of the archive."""


class Deletions:
    """Decides what becomes of the files of a source that are gone.

    A file whose very bytes are new elsewhere in the source was moved: it is no deletion. The
    others are taken out at once, unless they are more than the share of the known files and
    more than 20 (than half of the known files, where those are fewer than 40): then somebody
    should have a look, since a mount that came up half looks the same. Until they are accepted
    the index has them as they were.

    Parameters
    ----------
    share : float
        Share of the known files that may be gone.
    known : int
        Files the source had.
    accepted : bool
        Take all of them out.

    Attributes
    ----------
    count : int
        Files that are gone, without those that were moved.
    moved : int
    are_proposed : bool
        Whether they stay until that is accepted.
    """

    def __init__(self, *, share: float, known: int, accepted: bool) -> None:
        self._most = max(share * known, min(FEW_FILES, known // 2))
        self._accepted = accepted
        self._any_known = known > 0
        self._fresh: set[int] = set()
        self.count = 0
        self.moved = 0
        self.are_proposed = False

    def saw(self, content: str) -> None:
        """Take note of what a new or changed file holds."""
        if content and self._any_known:
            self._fresh.add(int(content, 16))

    def was_moved(self, entry: Entry) -> bool:
        """Tell whether a file that is gone is there under another name."""
        return bool(entry.content) and int(entry.content, 16) in self._fresh

    def decide(self, gone: Iterable[Entry]) -> None:
        """Decide, once all new files were seen."""
        for entry in gone:
            if self.was_moved(entry):
                self.moved += 1
            else:
                self.count += 1
        self.are_proposed = self.count > self._most and not self._accepted
