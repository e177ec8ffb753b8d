"""The compiler that is found."""


def getVersion() -> tuple[int, int]:
    """Return its version, the one that kernels are compiled with by ``tests/tools/compile_kernels.py``."""
    return 12, 9
