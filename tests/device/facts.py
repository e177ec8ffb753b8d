"""Writes what an installed CuPy offers: names, parameters, and the loops of its ufuncs.

``python tests/device/facts.py > tests/device/standin/facts.json`` in an environment with CuPy; it needs no device.
A function is written as its parameters (``a axis? * out?``: a question mark where there is a default, a bare star
before what goes by keyword, a slash after what goes by position), a ufunc as ``@`` and its loops, anything else as
its kind.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from typing import Any

MODULES = (
    "cupy",
    "cupy.cuda",
    "cupy.cuda.runtime",
    "cupy.fft",
    "cupy.lib.stride_tricks",
    "cupy.linalg",
    "cupyx",
    "cupyx.scipy.fft",
    "cupyx.scipy.ndimage",
    "cupyx.scipy.special",
)
_MARKS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
_DOCUMENTED = re.compile(r"^(?:_ndarray_base|ndarray)?\.?(\w+)\((.*?)\)(?: -> .*)?$")


def parameters_of(made: Any) -> str:
    """Return the parameters of a function, or a dash where it does not tell them."""
    try:
        signature = inspect.signature(made)
    except (TypeError, ValueError):
        return _documented(made)
    told, kinds = [], [parameter.kind for parameter in signature.parameters.values()]
    for place, parameter in enumerate(signature.parameters.values()):
        before = kinds[place - 1] if place else None
        if parameter.kind is parameter.KEYWORD_ONLY and before not in {
            parameter.KEYWORD_ONLY,
            parameter.VAR_POSITIONAL,
        }:
            told.append("*")
        told.append(_MARKS.get(parameter.kind, "") + parameter.name + "?" * (parameter.default is not parameter.empty))
        if parameter.kind is parameter.POSITIONAL_ONLY and kinds[place + 1 : place + 2] != [parameter.kind]:
            told.append("/")
    return " ".join(told)


def _documented(made: Any) -> str:
    """Return the parameters in the first line of a documentation: compiled methods tell them nowhere else."""
    found = _DOCUMENTED.match((made.__doc__ or "").strip().split("\n")[0])
    if found is None:
        return "-"
    told = []
    for part in filter(None, (one.strip() for one in found[2].split(","))):
        name, _, default = part.partition("=")
        told.append(name.split()[-1] + "?" * bool(default))
    return " ".join(told)


def fact_of(made: Any) -> str:
    """Return what is written of one name."""
    if type(made).__name__ == "ufunc":
        return "@ " + " ".join(made.types)
    if inspect.isclass(made):
        return "class"
    if inspect.ismodule(made):
        return "module"
    return parameters_of(made) if callable(made) else "value"


def main() -> None:
    """Write the facts to standard output."""
    import cupy

    members: dict[str, dict[str, str]] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        members[name] = {one: fact_of(getattr(module, one)) for one in sorted(dir(module)) if one[0] != "_"}
    array = {}
    for one in sorted(dir(cupy.ndarray)):
        made = getattr(cupy.ndarray, one)
        if one.startswith("__") or not one.startswith("_"):
            array[one] = parameters_of(made) if callable(made) and not inspect.isclass(made) else "value"
    members["cupy.ndarray"] = array
    json.dump({"version": cupy.__version__, "members": members}, sys.stdout, indent=0, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
