"""Bodies of kernels by array operations alone, for arrays that live on a device.

The kernels beside this package call them for such arrays; what they return is on the host:
matrices and numbers. On NumPy arrays they give the same, which is how they are tested
anywhere. Counts are integers, and equal those of the compiled bodies; sums are over integers or
in a fixed order, so that a device gives the same bytes twice.
"""
