"""Packaged networks: named by their content, proven, and refused where they are not what their card says."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from medpipe.contracts.networks import NetworkFacts
from medpipe.errors import ConfigError, IntegrityError, Rejected, SecurityError
from medpipe.models import network as networks
from medpipe.models.network import (
    NETWORK_FILE,
    NetworkPackage,
    load_network,
    package_network,
    proof_tile,
    proven_card,
)
from medpipe.models.network_card import NetworkCard
from medpipe.models.packed import CARD_FILE
from tests.models.networks import (
    FREE,
    PATCH,
    card,
    constant,
    convolution,
    encoder,
    endless,
    identity,
    logarithm,
    node,
    onnx_file,
    packaged,
    smoothing,
    sums,
)

TILE = np.random.default_rng(3).normal(size=(1, 1, *PATCH)).astype(np.float32)


def test_a_network_answers_what_its_operators_mean():
    found = load_network(packaged(smoothing(), card()))(TILE)
    padded = np.pad(TILE[0, 0], 1)
    moved = [np.roll(padded, shift, (0, 1, 2)) for shift in np.ndindex(3, 3, 3)]
    np.testing.assert_allclose(found[0, 0], np.mean(moved, axis=0)[2:, 2:, 2:], atol=1e-6)
    numbers = load_network(packaged(encoder(), card("encoder")))(TILE)
    np.testing.assert_allclose(numbers[0], [TILE.mean(), abs(TILE).mean()] @ sums(4), rtol=1e-4)


def test_the_same_file_and_card_have_one_digest_and_others_another():
    first = packaged(identity(), card())
    assert packaged(identity(), card()).digest == first.digest
    others = [packaged(smoothing(), card()), packaged(identity(), card(fill=1.0)), packaged(identity(), card(name="b"))]
    assert len({first.digest, *(one.digest for one in others)}) == 4


def test_a_card_through_json_is_the_same_and_names_the_tensors():
    package = packaged(identity(), card(spacing_mm=(0.0, 1.0, 1.0), limits=(-1.0, 1.0)))
    assert (package.card.facts.input, package.card.facts.output) == ("x", "y")
    assert NetworkCard.from_json(json.loads(json.dumps(package.card.to_json()))) == package.card
    assert len(package.card.proof) == 64


def test_a_network_that_answers_otherwise_than_it_did_is_refused(monkeypatch):
    package = packaged(smoothing(), card())
    swapped = NetworkPackage({**package.files, NETWORK_FILE: identity()})
    with pytest.raises(IntegrityError, match="answers its card records"):
        load_network(swapped)
    old = package_network(identity(), replace(package.card, runtime_version="1.2.3"))
    with pytest.raises(ConfigError, match=r"proven with onnxruntime 1\.2\.3, and .* register it again"):
        load_network(old)
    # another version that answers alike will do
    load_network(package_network(smoothing(), replace(package.card, runtime_version="1.2.3")))


def two_inputs():
    model = onnx.ModelProto.FromString(onnx_file([node("Add", ("x", "v"))]))
    model.graph.input.append(onnx.helper.make_tensor_value_info("v", TensorProto.FLOAT, FREE))
    return model.SerializeToString()


HOSTILE = {
    "other name": (onnx_file([node("Identity")]), {"input": "z"}, "input 'z' is none of its inputs"),
    "two inputs": (two_inputs(), {}, "it takes 2 inputs; one is given"),
    "names that are no text": (smoothing().replace(b"\x01z", b"\x01\xbd"), {}, "does not say|cannot load it"),
    "wrong rank": (onnx_file([node("Relu")], given=["z", "y", "x"]), {}, r"its input is \[\?, \?, \?\]"),
    "other tile": (onnx_file([node("Relu")], given=[1, 1, 4, 8, 9]), {}, r"\[1, 1, 4, 8, 9\], but the card"),
    "other channels": (onnx_file([node("Relu")], given=[1, 3, "z", "y", "x"]), {}, "but the card says"),
    "whole numbers": (
        onnx_file([node("Cast", to=TensorProto.FLOAT)], elements=TensorProto.INT64),
        {},
        "input is no float32",
    ),
    "other result": (onnx_file([node("Relu")], result=[1, 1, 2, 2, 2]), {}, r"output is \[1, 1, 2, 2, 2\]"),
    "result of unsaid shape": (
        onnx_file([node("MaxPool", kernel_shape=[2, 2, 2], strides=[2, 2, 2])]),
        {},
        r"another shape than \[1, 1, 4, 8, 8\]",
    ),
    "no numbers": (onnx_file([node("Sub", ("x", "x"), ("n",)), node("Div", ("n", "n"))]), {}, "not finite"),
    "endless": (onnx_file([node("Div", ("x", "n"))], tensors={"n": np.zeros(1, np.float32)}), {}, "not finite"),
    "all memory": (endless(1e14), {}, "it fails"),
    "much memory": (endless(1e3), {}, "another shape"),
    "unknown operator": (onnx_file([node("Frobnicate")]), {}, "cannot load it"),
    "missing tensor": (onnx_file([node("Add", ("x", "q"))]), {}, "cannot load it"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_as_its_card_says_is_refused_with_a_reason(name):
    data, said, message = HOSTILE[name]
    with pytest.raises(ConfigError, match=message):
        proven_card(data, card(**said))


def test_two_results_are_told_apart_by_name():
    graph = onnx_file([node("Relu"), node("Neg", ("x",), ("other",))])
    model = onnx.ModelProto.FromString(graph)
    model.graph.output.append(onnx.helper.make_tensor_value_info("other", TensorProto.FLOAT, FREE))
    data = model.SerializeToString()
    with pytest.raises(ConfigError, match=r"none of its outputs \(y, other\); name one"):
        proven_card(data, card())
    found = load_network(packaged(data, card(output="other")))(TILE)
    np.testing.assert_array_equal(found, -TILE)


def test_an_answer_that_is_none_is_a_code_wherever_it_comes_up():
    network = load_network(packaged(logarithm(), card()))
    network(proof_tile(network.facts))
    for tile in (np.full_like(TILE, -5), np.full_like(TILE, np.nan), TILE[..., :3]):
        with pytest.raises(Rejected, match="E_NETWORK"):
            network(tile)
    with pytest.raises(Rejected, match="E_NETWORK"):
        load_network(packaged(convolution(np.full((1, 1, 1), 3e38)), card()))(np.full_like(TILE, 10))


def test_a_hostile_file_is_refused_before_the_library_sees_it(monkeypatch):
    monkeypatch.setattr(networks, "_runtime", lambda: pytest.fail("the library was asked"))
    with pytest.raises(SecurityError):
        proven_card(identity()[:-40], card())


def test_a_file_that_could_be_of_the_runtimes_own_format_is_taken_for_what_was_looked_at():
    # the mark of that format, in a field of no meaning
    data = b"\x12\x06abORTM" + smoothing()
    assert data[4:8] == b"ORTM"
    np.testing.assert_array_equal(
        load_network(packaged(data, card()))(TILE), load_network(packaged(smoothing(), card()))(TILE)
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"patch": (4, 8)}, "patch: three sizes"),
        ({"patch": (0, 8, 8)}, "patch: three sizes"),
        ({"patch": (4096, 4096, 4096)}, "patch: three sizes"),
        ({"layout": "NCYX"}, "takes one plane"),
        ({"channels": 0}, "channels: 1 to"),
        ({"overlap": 1.0}, "overlap: a share"),
        ({"spacing_mm": (1.0,)}, "spacing_mm: three lengths"),
        ({"limits": (1.0, 1.0)}, "limits: two values"),
        ({"width": 0.0}, "width: must be above 0"),
        ({"width": 1e-40}, "width: must be above 0"),
        ({"width": 1e39}, "width: must be above 0"),
        ({"result_width": 1e-60}, "result_width: must not be 0"),
        ({"fill": -4e38}, "fill: must be a number of float32"),
        ({"center": 1e300}, "center: must be a number"),
        ({"result_center": 1e39}, "result_center: must be a number"),
        ({"numbers": 3}, "numbers: 1 to"),
        ({"kind": "encoder"}, "numbers: 1 to"),
        ({"kind": "encoder", "numbers": 3, "result_unit": "HU"}, "result_unit: an encoder"),
    ],
)
def test_facts_that_contradict_each_other_are_refused(said, message):
    with pytest.raises(ConfigError, match=message):
        NetworkFacts(**{"kind": "image", "patch": PATCH} | said)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"patch": [4, 8, 8]}, r"card\.facts\.kind: missing|card\.name: missing"),
        ({"name": "n", "kind": "image"}, r"card\.facts\.patch: missing"),
        ({"name": "n", "kind": "picture", "patch": [1, 8, 8]}, r"card\.facts\.kind: expected one of image, encoder"),
        ({"name": "n", "kind": "image", "patch": [1, 8, 8.5]}, r"card\.facts\.patch\.2: expected int"),
        ({"name": "n", "kind": "image", "patch": [1, 8, 8], "spacing": [1, 1, 1]}, r"card\.facts\.spacing: no such"),
        ({"name": "../n", "kind": "image", "patch": [1, 8, 8]}, "model name"),
        ({"name": "n", "kind": "image", "patch": [1, 8, 8], "memory_mb": -1}, "memory_mb must be"),
        ({"name": "n", "kind": "image", "patch": [1, 8, 8], "center": float("nan")}, "not a finite number"),
        ({"name": "n", "kind": "image", "patch": [1, 8, 8], "center": 10**400}, "center: not a finite number"),
    ],
)
def test_a_card_that_a_person_wrote_is_read_strictly(table, message):
    with pytest.raises(ConfigError, match=message):
        NetworkCard.from_table(table)


def test_a_card_of_few_words_is_enough():
    found = NetworkCard.from_table({"kind": "image", "patch": [1, 8, 8]}, name="mine")
    assert (found.name, found.facts) == ("mine", NetworkFacts(kind="image", patch=(1, 8, 8)))


def test_another_process_answers_with_the_same_bytes_on_one_thread():
    code = (
        "import os, numpy as np; from tests.models.networks import *; from medpipe.models.network import load_network\n"
        "net = load_network(packaged(smoothing(), card(patch=(16, 32, 32))))\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "tile = np.random.default_rng(3).normal(size=(1, 1, 16, 32, 32)).astype(np.float32)\n"
        "import hashlib; print(hashlib.sha256(net(tile).tobytes()).hexdigest(), len(os.listdir('/proc/self/task')) - before)"
    )
    found = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(found) == 1
    assert found.pop().split()[1] == "0"


def test_no_mutated_file_gets_beyond_a_refusal(capfd):
    rng = np.random.default_rng(11)
    for data, given in ((smoothing(), card()), (encoder(), card("encoder"))):
        for _ in range(60):
            mutated = bytearray(data)
            for place in rng.integers(0, len(mutated), rng.integers(1, 4)):
                mutated[place] = rng.integers(0, 256)
            with contextlib.suppress(ConfigError, SecurityError):
                proven_card(bytes(mutated), given)
    assert capfd.readouterr() == ("", "")


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install 'medpipe\[onnx\]'"):
        proven_card(identity(), card())
    monkeypatch.setattr(networks.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'medpipe\[onnx\]'"):
        networks.check_runtime()


def test_a_package_holds_two_files_and_its_card_is_read_strictly():
    package = packaged(constant(1.0), card())
    with pytest.raises(ConfigError, match="nothing else"):
        NetworkPackage({**package.files, "more.bin": b""})
    for text, message in ((b"{", "not JSON"), (b"[]", "expected a table"), (b" " * (9 << 20), "larger than")):
        with pytest.raises(ConfigError, match=message):
            _ = NetworkPackage({**package.files, CARD_FILE: text}).card
    later = json.dumps({**package.card.to_json(), "format": 9}).encode()
    with pytest.raises(ConfigError, match="card format 9"):
        _ = NetworkPackage({**package.files, CARD_FILE: later}).card
