"""What is refused before any library sees a network."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from medpipe.errors import SecurityError
from medpipe.models import onnx_file
from medpipe.models.onnx_file import check_file
from tests.models.networks import FREE, encoder, identity, node, smoothing
from tests.models.networks import onnx_file as network


def changed(change):
    model = onnx.ModelProto.FromString(identity())
    change(model)
    return model.SerializeToString()


def branch():
    graph = helper.make_graph(
        [node("Identity")], "b", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    )
    return node("If", ("c",), then_branch=graph, else_branch=graph)


def outside(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"


def outside_unsaid(model):
    entry = model.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def outside_in_a_node(model):
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "t")
    tensor.data_location = TensorProto.EXTERNAL
    model.graph.node.append(node("Constant", (), ("k",), value=tensor))


def promises(model):
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([1 << 40, 1 << 20])


def own_function(model):
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("mine", "f", ["a"], ["b"], [node("Relu", ("a",), ("b",))], opsets))


def sparse(model):
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [9]))


def long_key(field, content):
    """Return a field whose key has a bit beyond 32, which protobuf drops when it reads."""
    key = field << 3 | 2
    return bytes([0x80 | key & 0x7F, 0x80 | key >> 7, 0x80, 0x80, 0x10, len(content)]) + content


def behind_a_long_key(field, content):
    """Return a network whose operator has another field that is seen only by who drops the bit."""
    one = node("Relu").SerializeToString() + long_key(field, content)
    model = onnx.ModelProto.FromString(network([node("Relu")]))
    del model.graph.node[:]
    graph = bytes([0x0A, len(one)]) + one + model.graph.SerializeToString()
    model.ClearField("graph")
    return model.SerializeToString() + bytes([0x3A, len(graph)]) + graph


HOSTILE = {
    "custom operator": (network([node("Foo", domain="evil")], domains=[("evil", 1)]), "operators of 'evil'"),
    "operator of the runtime's own": (network([node("FusedConv", domain="com.microsoft")]), "'com.microsoft'"),
    "domain that nothing uses": (network([node("Relu")], domains=[("evil", 1)]), "'evil'"),
    "control flow": (network([branch()], tensors={"c": np.array(True)}), "control flow"),
    "loop": (network([node("Scan", body=onnx.ModelProto.FromString(identity()).graph)]), "control flow"),
    "numbers in another file": (changed(outside), "another file"),
    "another file that is not said to be one": (changed(outside_unsaid), "another file"),
    "another file for a constant": (changed(outside_in_a_node), "another file"),
    "more numbers than bytes": (changed(promises), "more numbers"),
    "functions": (changed(own_function), "functions"),
    "training": (changed(lambda model: model.training_info.add()), "training"),
    "sparse tensors": (changed(sparse), "sparse"),
    "random numbers": (network([node("RandomNormalLike")]), "draws numbers"),
    "dropout in training": (
        network([node("Dropout", ("x", "r", "t"))], tensors={"r": np.float32(0.5), "t": np.array(True)}),
        "draws numbers",
    ),
    "no operator": (network([]), "without an operator"),
    "nothing": (b"", "not an ONNX file"),
    "text": (b"import os; os.system('true')\n" * 20, "not an ONNX file|cut short"),
    "endless number": (b"\xff" * 64, "cut short"),
    "group of the old kind": (b"\x0b\x0c", "cut short"),
    "random numbers behind a long key": (behind_a_long_key(4, b"RandomNormalLike"), "not an ONNX file"),
    "an operator of others behind a long key": (behind_a_long_key(7, b"com.microsoft"), "not an ONNX file"),
    "two graphs": (identity() + identity(), "not an ONNX file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_with_a_reason(name):
    data, message = HOSTILE[name]
    with pytest.raises(SecurityError, match=message):
        check_file(data)


@pytest.mark.parametrize("data", [identity(), smoothing(), encoder(), encoder(planes=True)])
def test_a_plain_network_is_not(data):
    check_file(data)
    check_file(network([node("Dropout", ("x", "r"))], tensors={"r": np.float32(0.5)}, given=FREE))


def test_no_file_that_is_cut_or_changed_does_more_than_being_refused():
    data, rng = smoothing(), np.random.default_rng(6)
    cut = sum(refused(data[:end]) for end in range(len(data)))
    assert cut > 0.9 * len(data)
    for _ in range(300):
        mutated = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            mutated[place] = rng.integers(0, 256)
        refused(bytes(mutated))


def refused(data):
    try:
        check_file(data)
    except SecurityError:
        return True
    return False


def test_there_are_limits_to_what_is_gone_through(monkeypatch):
    many = network([node("Relu", (f"a{place}",), (f"a{place + 1}",)) for place in range(20)])
    check_file(many)
    monkeypatch.setattr(onnx_file, "MAX_NODES", 10)
    with pytest.raises(SecurityError, match="more than 10 operators"):
        check_file(many)
    monkeypatch.setattr(onnx_file, "_MAX_FIELDS", 30)
    with pytest.raises(SecurityError, match="too many"):
        check_file(many)
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 100)
    with pytest.raises(SecurityError, match="larger than 100 bytes"):
        check_file(many)
