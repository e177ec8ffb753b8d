"""Engines that run cases: serial and Dask, with sandboxes."""
