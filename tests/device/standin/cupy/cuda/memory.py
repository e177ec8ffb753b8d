"""Errors of memory under CuPy's names."""

from cupy._memory import OutOfMemoryError

__all__ = ["OutOfMemoryError"]
