"""How well repeated measurements of the same subjects agree: intraclass correlation.

References
----------
Shrout and Fleiss, Psychol. Bull. 86 (1979) 420, doi:10.1037/0033-2909.86.2.420: which coefficient, and its
interval; Chan, Golub and LeVeque, Am. Stat. 37 (1983) 242, doi:10.1080/00031305.1983.10483115: sums of
squares of parts that are put together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

KINDS = ("1_1", "2_1", "3_1", "1_k", "2_k", "3_k")
"""Coefficients: of one measurement or the mean of all, one-way, two-way random, two-way mixed."""


@dataclass(slots=True)
class Agreement:
    """Sums over subjects, taken in one by one, for many quantities at once.

    Attributes
    ----------
    repeats : int
        Measurements of each subject.
    quantities : int
    count : array of int (quantities,)
        Subjects all of whose measurements are defined; others are left out.
    """

    repeats: int
    quantities: int
    count: NDArray[np.int64] = field(init=False)
    _mean: Floats = field(init=False)
    _between: Floats = field(init=False)
    _within: Floats = field(init=False)
    _of_repeat: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.count = np.zeros(self.quantities, dtype=np.int64)
        self._mean, self._between, self._within = (np.zeros(self.quantities) for _ in range(3))
        self._of_repeat = np.zeros((self.repeats, self.quantities))

    def add(self, values: Floats, /) -> None:
        """Take in a subject: its measurements, (repeats, quantities), NaN where not defined."""
        defined = np.isfinite(values).all(axis=0)
        values = np.where(defined, values, 0.0)
        self.count += defined
        count = np.maximum(self.count, 1)
        mean = _mean_of(values)
        step = np.where(defined, mean - self._mean, 0.0)
        self._mean += step / count
        self._between += step * (mean - self._mean) * defined
        self._within += ((values - mean) ** 2).sum(axis=0)
        self._of_repeat += np.where(defined, values - self._of_repeat, 0.0) / count

    def coefficients(self) -> dict[str, Floats]:
        """Return each of :data:`KINDS` for every quantity.

        Returns
        -------
        dict of str to array of float64 (quantities,)
            NaN with fewer than two subjects or repeats, and where nothing varies at all.
        """
        between, within, repeats, left = self._mean_squares()
        k, n = float(self.repeats), np.maximum(self.count, 1)
        return {
            "1_1": _ratio(between - within, between + (k - 1) * within),
            "2_1": _ratio(between - left, between + (k - 1) * left + k * (repeats - left) / n),
            "3_1": _ratio(between - left, between + (k - 1) * left),
            "1_k": _ratio(between - within, between),
            "2_k": _ratio(between - left, between + (repeats - left) / n),
            "3_k": _ratio(between - left, between),
        }

    def intervals(self, *, level: float = 0.95) -> dict[str, tuple[Floats, Floats]]:
        """Return the ends of the confidence intervals of ``1_1`` and ``3_1``."""
        from scipy.stats import f

        between, within, _, left = self._mean_squares()
        k, n, tail = self.repeats, np.maximum(self.count, 2), 1.0 - (1.0 - level) / 2.0
        found = {}
        for kind, error, freedom in (("1_1", within, n * (k - 1)), ("3_1", left, (n - 1) * (k - 1))):
            # without any error the coefficient is 1, and both ends are
            ratio = np.where(error > 0.0, _ratio(between, error), np.where(between > 0.0, np.inf, np.nan))
            low = ratio / f.ppf(tail, n - 1, freedom)
            high = ratio * f.ppf(tail, freedom, n - 1)
            found[kind] = (_from_ratio(low, k), _from_ratio(high, k))
        return found

    def _mean_squares(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return the mean squares between subjects, within them, between repeats, and of what is left."""
        n, k = self.count.astype(np.float64), self.repeats
        if k < 2:
            return (np.full(self.quantities, np.nan),) * 4
        n[n < 2] = np.nan
        between = k * self._between / (n - 1)
        of_repeats = n * ((self._of_repeat - _mean_of(self._of_repeat)) ** 2).sum(axis=0)
        left = np.maximum(self._within - of_repeats, 0.0) / ((n - 1) * (k - 1))
        return between, self._within / (n * (k - 1)), of_repeats / (k - 1), left


def _mean_of(values: Floats) -> Floats:
    """Return the mean along the first axis; that of equal values is what they are, to the last bit."""
    found: Floats = values[0] + (values - values[0]).mean(axis=0)
    return found


def _ratio(over: Floats, under: Floats) -> Floats:
    found: Floats = np.divide(over, under, out=np.full(over.shape, np.nan), where=np.nan_to_num(under) != 0.0)
    return found


def _from_ratio(ratio: Floats, repeats: int) -> Floats:
    finite = np.where(np.isinf(ratio), 0.0, ratio)
    found: Floats = np.where(np.isinf(ratio), 1.0, (finite - 1.0) / (finite + repeats - 1.0))
    return found
