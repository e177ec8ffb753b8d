"""Small networks made by hand, some of them hostile, and cards for them."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from medpipe.contracts.networks import NetworkFacts
from medpipe.models.network import load_network, package_network, proven_card
from medpipe.models.network_card import NetworkCard

FREE = [1, 1, "z", "y", "x"]
PATCH = (4, 8, 8)
WIDE = (8, 24, 24)


def onnx_file(nodes, *, tensors=None, given=FREE, result=None, elements=TensorProto.FLOAT, domains=(), **model):
    """Return the bytes of a network from ``x`` to ``y``."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", elements, given)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, result)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (tensors or {}).items()],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in [("", 17), *domains]]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, **model).SerializeToString()


def node(op, given=("x",), result=("y",), **attributes):
    return helper.make_node(op, list(given), list(result), **attributes)


def convolution(kernel, *, bias=None):
    """Return a network that convolves with a kernel (z, y, x), the border padded with zeros."""
    kernel = np.asarray(kernel, np.float32)
    tensors = {"w": kernel[None, None]} | ({} if bias is None else {"b": np.array([bias], np.float32)})
    sides = [size // 2 for size in kernel.shape]
    return onnx_file([node("Conv", ("x", *tensors), pads=[*sides, *sides])], tensors=tensors)


def identity():
    kernel = np.zeros((3, 3, 3))
    kernel[1, 1, 1] = 1
    return convolution(kernel)


def constant(value):
    return convolution(np.zeros((1, 1, 1)), bias=value)


def smoothing():
    return convolution(np.ones((3, 3, 3)) / 27)


def encoder(numbers=4, *, planes=False):
    """Return an encoder of the mean and the mean magnitude of a tile: `numbers` known sums of them."""
    axes = [2, 3] if planes else [2, 3, 4]
    nodes = [
        node("ReduceMean", ("x",), ("mean",), axes=axes, keepdims=0),
        node("Abs", ("x",), ("abs",)),
        node("ReduceMean", ("abs",), ("size",), axes=axes, keepdims=0),
        node("Concat", ("mean", "size"), ("both",), axis=1),
        node("MatMul", ("both", "w"), ("y",)),
    ]
    given = [1, 1, "y", "x"] if planes else FREE
    return onnx_file(nodes, tensors={"w": sums(numbers)}, given=given)


def logarithm():
    """Return a network that answers the tile of the proof, and gives none below -1."""
    return onnx_file([node("Add", ("x", "a"), ("s",)), node("Log", ("s",))], tensors={"a": np.ones(1, np.float32)})


def endless(size):
    """Return a network whose answer has as many numbers, which shows when it is asked."""
    nodes = [
        node("Abs", ("x",), ("a",)),
        node("ReduceMax", ("a",), ("m",), keepdims=0),
        node("Ceil", ("m",), ("one",)),
        node("Mul", ("one", "size"), ("n",)),
        node("Cast", ("n",), ("whole",), to=TensorProto.INT64),
        node("Concat", ("whole", "ones"), ("shape",), axis=0),
        node("ConstantOfShape", ("shape",)),
    ]
    return onnx_file(nodes, tensors={"size": np.array([size], np.float32), "ones": np.ones(4, np.int64)})


def sums(numbers):
    """Return what the numbers of :func:`encoder` are made of: rows for the mean and the mean magnitude."""
    return np.array([np.arange(1, numbers + 1), np.ones(numbers)], np.float32)


def facts(kind="image", **said):
    patch = said.pop("patch", PATCH)
    return NetworkFacts(kind=kind, patch=patch, numbers=said.pop("numbers", 4 if kind == "encoder" else 0), **said)


def card(kind="image", *, name="net", memory_mb=64, **said):
    return NetworkCard(name=name, facts=facts(kind, **said), memory_mb=memory_mb)


def packaged(data, given):
    return package_network(data, proven_card(data, given))


def opens(data, given):
    """Return what opens a network, as it is bound to ops."""
    package = packaged(data, given)
    return cache(partial(load_network, package))


@cache
def bound_to(name):
    """Return what opens a network that fits the op of a name, or None."""
    if name == "learned":
        return opens(smoothing(), card(patch=WIDE))
    return opens(encoder(), card("encoder", patch=WIDE)) if name == "deep" else None
