"""Ops: frozen records of parameters that bind kernels to units and geometry."""
