"""An invented cohort of feature rows whose first three columns carry the class."""

from __future__ import annotations

import numpy as np

from medpipe.contracts.protocols import ScoreInput
from medpipe.models.train import TrainSpec

COLUMNS = ("stat_mean", "stat_var", "morph_volume", "cm_joint_max_3D_avg", "noise_a", "noise_b")
EVERY = (ScoreInput(region="nodule", image="original", extraction="radiomics", column="*"),)


def feature_row(values, *, key="r0", label=1, region="nodule", digest="d" * 64, image="original"):
    return {
        "region_key": key,
        "region": region,
        "label": label,
        "image": image,
        "extraction": "radiomics",
        "extraction_digest": digest,
        "values": values,
    }


def make_cohort(*, n_patients=40, per_patient=2, seed=0, classes=("benign", "malignant"), missing=0.03):
    """Return rows, labels and groups whose first three columns carry the class."""
    rng = np.random.default_rng(seed)
    rows, labels, groups = [], [], []
    for patient in range(n_patients):
        place = patient % len(classes)
        for lesion in range(per_patient):
            values = rng.normal(size=len(COLUMNS)) * [50, 1, 1000, 0.1, 1, 1]
            values[:3] += place * np.array([60, 0.8, 900])
            values[rng.random(len(COLUMNS)) < missing] = np.nan
            named = {name: (None if np.isnan(v) else float(v)) for name, v in zip(COLUMNS, values, strict=True)}
            named |= {"always_same": 7.0, "never_there": None}
            rows.append(feature_row(named, key=f"r{patient}-{lesion}", label=lesion + 1))
            labels.append(classes[place])
            groups.append(f"p{patient}")
    return rows, labels, groups


def make_spec(**changes):
    return TrainSpec(**({"name": "nodule", "target": "malignant", "inputs": EVERY, "folds": 4} | changes))
