"""Fourier transforms in the precision of the device: those of ``cupyx.scipy.fft``, under NumPy's names."""

from __future__ import annotations

import types
from typing import Any

import scipy.fft

from ._facts import missing
from ._ufuncs import named

config = types.SimpleNamespace(clear_plan_cache=lambda: None)
"""As ``cupy.fft.config``: no plans are kept here."""

_KNOWN = ("fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "irfft",
          "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn")  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _KNOWN:
        raise missing("cupy.fft", name)
    return named("cupy.fft", name, getattr(scipy.fft, name))
