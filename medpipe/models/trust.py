"""What a model file may hold: the trusted types, and checks of what compiled code indexes by.

skops refuses types it does not know, but its own list covers every estimator of scikit-learn.
This list is shorter and explicit: linear models, trees, forests, boosting, support vectors,
and the steps around them. Types alone do not make a tree or a support vector machine safe,
because compiled code follows their indices without looking; :func:`check_estimator` looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from medpipe.errors import SecurityError

LOADERS: Mapping[str, tuple[str, ...]] = {
    "DictNode": ("builtins.dict",),
    "ListNode": ("builtins.list",),
    "TupleNode": ("builtins.tuple",),
    "JsonNode": ("builtins.str",),
    "TypeNode": ("builtins.str", "builtins.int", "builtins.float", "builtins.bool"),
    "DTypeNode": ("numpy.dtype",),
    "NdArrayNode": (
        "numpy.ndarray",
        "numpy.bool",
        "numpy.bool_",
        "numpy.float32",
        "numpy.float64",
        "numpy.int32",
        "numpy.int64",
        "numpy.str_",
    ),
    "RandomStateNode": ("numpy.random.mtrand.RandomState",),
    "TreeNode": ("sklearn.tree._tree.Tree",),
    "LossNode": (
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss._loss.CyHalfMultinomialLoss",
        "sklearn._loss._loss.CyHalfSquaredError",
    ),
    "ObjectNode": (
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn.calibration.CalibratedClassifierCV",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.decomposition._pca.PCA",
        "sklearn.dummy.DummyClassifier",
        "sklearn.dummy.DummyRegressor",
        "sklearn.ensemble._forest.RandomForestClassifier",
        "sklearn.ensemble._forest.RandomForestRegressor",
        "sklearn.ensemble._gb.GradientBoostingClassifier",
        "sklearn.ensemble._gb.GradientBoostingRegressor",
        "sklearn.feature_selection._variance_threshold.VarianceThreshold",
        "sklearn.impute._base.MissingIndicator",
        "sklearn.impute._base.SimpleImputer",
        "sklearn.linear_model._base.LinearRegression",
        "sklearn.linear_model._coordinate_descent.ElasticNet",
        "sklearn.linear_model._coordinate_descent.Lasso",
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.linear_model._ridge.Ridge",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._data.MinMaxScaler",
        "sklearn.preprocessing._data.RobustScaler",
        "sklearn.preprocessing._data.StandardScaler",
        "sklearn.svm._classes.SVC",
        "sklearn.tree._classes.DecisionTreeClassifier",
        "sklearn.tree._classes.DecisionTreeRegressor",
    ),
}
"""Kinds of nodes a model file may have, each with the types it may build."""

TRUSTED_TYPES: tuple[str, ...] = tuple(sorted({name for names in LOADERS.values() for name in names}))
"""Every type a model file may build; anything else is refused."""

MAX_DEPTH = 200
"""Levels of nesting; a forest in a pipeline has about 40."""

_ENSEMBLES = ("RandomForest", "GradientBoosting")
_KERNELS = ("linear", "poly", "rbf", "sigmoid")


def check_nodes(schema: Any) -> None:
    """Check every node of a skops schema against :data:`LOADERS`, before anything is built.

    Raises
    ------
    SecurityError
        For a node or a type out of the list, or nesting beyond :data:`MAX_DEPTH`.
    """
    stack = [(schema, 0)]
    while stack:
        value, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise SecurityError("model file: nested too deep")
        if isinstance(value, dict):
            if not {"__class__", "__module__", "__loader__"}.isdisjoint(value):
                _check_node(value)
            stack += [(item, depth + 1) for item in value.values()]
        elif isinstance(value, list):
            stack += [(item, depth + 1) for item in value]


def check_estimator(estimator: Any) -> None:
    """Check the indices and sizes that compiled scikit-learn code follows without looking.

    Raises
    ------
    SecurityError
        If a tree could lead out of its arrays or in circles, an ensemble's parts do not fit it,
        or a support vector machine's arrays do not fit each other.
    """
    for part in _parts(estimator):
        kind = type(part).__name__
        try:
            # a template that was never fitted has none of these, and cannot predict
            if kind.startswith("DecisionTree") and hasattr(part, "tree_"):
                _check_tree(part.tree_, int(part.n_features_in_))
            elif kind.startswith(_ENSEMBLES) and hasattr(part, "estimators_"):
                _check_ensemble(part)
            elif kind == "SVC" and hasattr(part, "support_vectors_"):
                _check_svc(part)
        except Exception:  # noqa: BLE001  # hostile parts may fail in any way when looked at
            raise _unfit(kind) from None


def make_sequential(estimator: Any) -> None:
    """Set every part of an estimator to one job: parallel forests add their trees in any order."""
    for part in _parts(estimator):
        if hasattr(part, "n_jobs"):
            part.n_jobs = 1


def _check_node(node: dict[str, Any]) -> None:
    loader, module, name = (node.get(key) for key in ("__loader__", "__module__", "__class__"))
    if not (isinstance(loader, str) and isinstance(module, str) and isinstance(name, str)):
        raise SecurityError("model file: a node does not say what it is")
    if f"{module}.{name}" not in LOADERS.get(loader, ()):
        shown = f"{loader}: {module}.{name}"[:120]
        raise SecurityError(f"model file: {shown!r} is not on medpipe's list of trusted types")


def _unfit(kind: str) -> SecurityError:
    return SecurityError(f"model file: the parts of a {kind} do not fit each other")


def _parts(root: Any) -> Iterator[Any]:
    """Yield every scikit-learn object below a fitted estimator, once; an ensemble answers for its trees."""
    stack, seen = [root], set()
    while stack:
        value = stack.pop()
        if isinstance(value, (list, tuple)):
            stack += value
        elif isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, np.ndarray) and value.dtype == object:
            stack += value.ravel().tolist()
        elif type(value).__module__.startswith("sklearn.") and id(value) not in seen:
            seen.add(id(value))
            yield value
            state = vars(value) if hasattr(value, "__dict__") else {}
            ensemble = type(value).__name__.startswith(_ENSEMBLES)
            stack += (item for name, item in state.items() if not (ensemble and name == "estimators_"))


def _check_tree(tree: Any, n_features: int) -> None:
    left, right, feature = tree.children_left, tree.children_right, tree.feature
    node = np.arange(tree.node_count)
    leaf = left == -1
    # a child always comes after its parent, so a path can neither leave the arrays nor turn back
    inner = (left > node) & (right > node) & (left < node.size) & (right < node.size)
    inner &= (feature >= 0) & (feature < n_features)
    if not (node.size and np.all(leaf | inner) and len(tree.value) == node.size):
        raise _unfit("tree")


def _check_ensemble(ensemble: Any) -> None:
    boosting = type(ensemble).__name__.startswith("GradientBoosting")
    width = int(ensemble.n_features_in_)
    stages = np.asarray(ensemble.estimators_, dtype=object)
    for part in stages.ravel():
        if not type(part).__name__.startswith("DecisionTree"):
            raise _unfit("ensemble")
        _check_tree(part.tree_, width)
        if boosting and part.tree_.value.shape[1:] != (1, 1):
            raise _unfit("boosting stage")
    if not boosting:
        return
    n_classes = len(getattr(ensemble, "classes_", ()))
    columns = n_classes if n_classes > 2 else 1
    if stages.ndim != 2 or stages.shape[1] != columns or ensemble.n_trees_per_iteration_ != columns:
        raise _unfit("boosting stage")
    if not type(ensemble.init_).__name__.startswith("Dummy"):
        raise _unfit("boosting start")
    # the compiled sum writes into this array; only asking for it tells its true width
    start = ensemble._raw_predict_init(np.zeros((1, width), dtype=np.float32))  # nowhere public
    if start.shape != (1, columns):
        raise _unfit("boosting start")


def _check_svc(svc: Any) -> None:
    n_vectors, width = svc.support_vectors_.shape
    n_classes = len(svc.classes_)
    pairs = n_classes * (n_classes - 1) // 2
    counts = svc.n_support_
    fits = (
        svc.kernel in _KERNELS
        and (svc._impl, svc._sparse) == ("c_svc", False)  # decides which compiled code runs
        and width == svc.n_features_in_ == svc.shape_fit_[1]
        and svc.support_.shape == (n_vectors,)
        and counts.shape == (n_classes,)
        and counts.min() >= 0
        and counts.sum() == n_vectors
    )
    arrays = ((svc.dual_coef_, svc._dual_coef_), (svc.intercept_, svc._intercept_))  # libsvm reads these
    shapes = ((n_classes - 1, n_vectors), (pairs,))
    same = all(item.shape == shape for pair, shape in zip(arrays, shapes, strict=True) for item in pair)
    scaling = {svc._probA.shape, svc._probB.shape}  # and these
    if not (fits and same and scaling in ({(0,)}, {(pairs,)})):
        raise _unfit("SVC")
