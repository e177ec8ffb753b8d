"""Hostile model files are refused before anything in them is built or run."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from functools import partial

import numpy as np
import pytest
import skops.io
from sklearn.cluster import Birch
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from medpipe.errors import ConfigError, SecurityError
from medpipe.models import skops_file
from medpipe.models.package import MODEL_FILE, Package, load

X = np.random.default_rng(0).normal(size=(30, 3))
Y = np.where(X[:, 0] > 0, "b", "a")


def rezip(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def members_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def good():
    return skops_file.dump(Pipeline([("model", LogisticRegression().fit(X, Y))]))


def edited(good, edit):
    """Return a model file whose schema went through ``edit``."""
    members = members_of(good)
    schema = json.loads(members["schema.json"])
    edit(schema)
    members["schema.json"] = json.dumps(schema).encode()
    return rezip(members.items())


class Touch:
    """A pickle that would touch a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_renamed_pickle_is_refused_and_never_run(packages, tmp_path):
    trap = tmp_path / "trap"
    files = dict(packages["logistic"].files) | {MODEL_FILE: pickle.dumps(Touch(trap))}
    with pytest.raises(SecurityError, match="not a skops file"):
        load(Package(files))
    assert not trap.exists()


def test_a_pickle_behind_an_array_s_name_is_refused_and_never_run(good, tmp_path):
    trap = tmp_path / "trap"
    members = members_of(good)
    name = next(name for name in members if name.endswith(".npy"))
    objects = io.BytesIO()
    np.save(objects, np.array([Touch(trap)], dtype=object), allow_pickle=True)
    for content in (pickle.dumps(Touch(trap)), objects.getvalue()):
        with pytest.raises(SecurityError, match="an array"):
            skops_file.load(rezip((members | {name: content}).items()))
    assert not trap.exists()


@pytest.mark.parametrize(
    "estimator",
    [
        FunctionTransformer(func=print),
        FunctionTransformer(func=partial(print, "x")),
        FunctionTransformer(func=np.exp),
        KNeighborsClassifier().fit(X, Y),
    ],
    ids=["function", "partial", "ufunc", "type skops trusts and medpipe does not"],
)
def test_a_type_out_of_the_list_is_refused(estimator):
    with pytest.raises(SecurityError, match="trusted types"):
        skops_file.load(skops.io.dumps(Pipeline([("step", estimator)])))
    with pytest.raises(SecurityError, match="trusted types"):
        skops_file.dump(estimator)


@pytest.mark.parametrize(
    ("loader", "module", "name"),
    [
        ("FunctionNode", "os", "system"),
        ("MethodNode", "builtins", "str"),
        ("PartialNode", "functools", "partial"),
        ("OperatorFuncNode", "operator", "methodcaller"),
        ("ConstructorFromReduceNode", "builtins", "bytearray"),
        ("ObjectNode", "subprocess", "Popen"),
        ("TypeNode", "os", "system"),
        ("LossNode", "subprocess", "Popen"),
        ("NoSuchNode", "builtins", "str"),
        (["ObjectNode"], "sklearn.pipeline", "Pipeline"),
    ],
)
def test_a_node_out_of_the_list_is_refused_wherever_it_hides(good, loader, module, name):
    node = {"__class__": name, "__module__": module, "__loader__": loader, "content": {}}
    hidden = (
        lambda schema: schema["content"]["content"].update(verbose=node),
        lambda schema: schema.update({"__reduce__": {"args": [[node]]}}),
        lambda schema: schema["content"]["content"].update(__loader__=node),
    )
    for edit in hidden:
        with pytest.raises(SecurityError):
            skops_file.load(edited(good, edit))


def test_a_schema_nested_without_end_is_refused(good):
    members = members_of(good)
    for depth in (300, 200_000):
        members["schema.json"] = b'{"a":' * depth + b"1" + b"}" * depth
        with pytest.raises(SecurityError):
            skops_file.load(rezip(members.items()))


def test_an_array_that_promises_more_than_it_holds_is_refused(good):
    members = members_of(good)
    name = next(name for name in members if name.endswith(".npy"))
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2**20)})
    with pytest.raises(SecurityError, match="not what its header says"):
        skops_file.load(rezip((members | {name: buffer.getvalue()}).items()))


def test_compressed_doubled_and_foreign_members_are_refused(good):
    members = list(members_of(good).items())
    with pytest.raises(SecurityError, match="compressed"):
        skops_file.load(rezip(members, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(SecurityError, match="more than a schema"):
        skops_file.load(rezip([*members, ("../../evil.npy", b"")]))
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = rezip([*members, members[0]])
    with pytest.raises(SecurityError, match="doubled"):
        skops_file.load(twice)


def test_a_truncated_file_is_refused(good):
    for end in (0, 10, len(good) // 2, len(good) - 1):
        with pytest.raises(SecurityError):
            skops_file.load(good[:end])


def test_a_flipped_bit_never_gives_another_error_than_a_refusal(good):
    rng = np.random.default_rng(1)
    for place in rng.integers(0, len(good), size=60):
        bad = bytearray(good)
        bad[place] ^= 1 << int(rng.integers(8))
        with contextlib.suppress(SecurityError):
            skops_file.load(bytes(bad))


def set_nodes(change):
    """Return an edit of every tree in a forest."""

    def edit(forest):
        for tree in forest.estimators_:
            state = tree.tree_.__getstate__()
            change(state["nodes"])
            tree.tree_.__setstate__(state)

    return edit


def _loop(nodes):
    nodes["left_child"][0] = 0


def _outside(nodes):
    nodes["right_child"][0] = 10**6


def _other_column(nodes):
    nodes["feature"][0] = 10**6


@pytest.mark.parametrize("change", [_loop, _outside, _other_column])
def test_a_tree_that_leads_out_of_its_arrays_is_refused(change):
    forest = RandomForestClassifier(n_estimators=2, random_state=0).fit(X, Y)
    skops_file.load(skops_file.dump(forest))
    set_nodes(change)(forest)
    with pytest.raises(SecurityError, match="do not fit"):
        skops_file.load(skops_file.dump(forest))


def test_a_support_vector_machine_with_short_arrays_is_refused():
    svc = SVC().fit(X, Y)
    skops_file.load(skops_file.dump(svc))
    for name in ("_dual_coef_", "_intercept_", "_n_support", "support_"):
        bad = SVC().fit(X, Y)
        setattr(bad, name, getattr(bad, name)[..., :0])
        with pytest.raises(SecurityError, match="do not fit"):
            skops_file.load(skops_file.dump(bad))


def test_a_boosting_whose_stages_do_not_fit_its_sums_is_refused():
    def fitted():
        return GradientBoostingClassifier(n_estimators=2, random_state=0).fit(X, Y)

    skops_file.load(skops_file.dump(fitted()))
    wide, other_start, narrow = fitted(), fitted(), fitted()
    wide.estimators_ = np.repeat(wide.estimators_, 3, axis=1)
    other_start.init_ = LogisticRegression().fit(X, Y)
    narrow.n_features_in_ = 1
    for bad in (wide, other_start, narrow):
        with pytest.raises(SecurityError, match="do not fit"):
            skops_file.load(skops_file.dump(bad))


def test_what_skops_cannot_hold_is_a_clear_refusal():
    with pytest.raises(ConfigError, match="cannot be written"):
        skops_file.dump(Birch().fit(X))
