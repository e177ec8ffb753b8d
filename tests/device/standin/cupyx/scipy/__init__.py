"""Part of the stand-in of CuPy."""
