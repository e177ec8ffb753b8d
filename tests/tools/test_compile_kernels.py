"""The list of what NVIDIA's compiler is given, and what is read from what it says."""

import re

from medpipe.kernels import launching
from tests.tools.compile_kernels import _RESOURCES, asked_for

LOG = """ptxas info    : Compiling entry function 'first' for 'sm_90'
ptxas info    : Function properties for first
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, used 0 barriers
ptxas info    : Compiling entry function 'second' for 'sm_90'
ptxas info    : Function properties for second
ptxas         .     16 bytes stack frame, 8 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 128 registers, used 0 barriers
"""


def test_every_kernel_of_every_source_is_compiled():
    sources = sorted(launching._SOURCES.glob("*.cu"))
    written = {name for one in sources for name in re.findall(r"\)\)?\s*\n(\w+)\(", one.read_text(encoding="utf-8"))}
    asked = asked_for()
    assert len(set(asked)) == len(asked)
    assert {name for _, name, _ in asked} == written | {"copy", "multiply_adds", "orders"}
    assert launching._MOST_NARROW > 0


def test_registers_and_what_is_spilled_are_read_kernel_by_kernel():
    assert [found.groups() for found in _RESOURCES.finditer(LOG)] == [("first", "0", "32"), ("second", "8", "128")]
