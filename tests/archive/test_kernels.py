from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from medpipe.archive.kernels import kernel_class
from medpipe.archive.reconstruction import reconstruction_facts
from medpipe.archive.series import series_facts
from medpipe.contracts.tables import VOLUMES
from tests.archive.test_stack_assembly import part_of_a_concatenation

PIXELS = np.zeros((6, 8), np.uint16)

# Siemens: the operating instructions of the Sensation Cardiac (A60) name B10 to B41 for soft
# tissue and B50 to B80 for higher sharpness. The others: NLST's standard and lung kernels
# (STANDARD, B30f, C, FC10; BONE, LUNG, B50f, D, FC51), and families of the same maker.
SOFT = [
    ("B10s", "SIEMENS"),
    ("B30f", "SIEMENS"),
    ("B31s", "SIEMENS"),
    ("B40f", "SIEMENS"),
    ("I31f", "SIEMENS"),
    ("I31f.3", "SIEMENS"),
    ("Br40d", "SIEMENS"),
    ("H31s", "SIEMENS"),
    ("STANDARD", "GE"),
    ("SOFT", "GE"),
    ("STD+", "GE"),
    ("C", "PHILIPS"),
    ("B", "PHILIPS"),
    ("UB", "PHILIPS"),
    ("FC10", "CANON"),
    ("FC21", "CANON"),
    ("B_SOFT_B", "UIH"),
]
SHARP = [
    ("B50f", "SIEMENS"),
    ("B70f", "SIEMENS"),
    ("Bl57d", "SIEMENS"),
    ("I70f", "SIEMENS"),
    ("U90u", "SIEMENS"),
    ("BONE", "GE"),
    ("BONEPLUS", "GE"),
    ("LUNG", "GE"),
    ("EDGE", "GE"),
    ("D", "PHILIPS"),
    ("YA", "PHILIPS"),
    ("FC30", "CANON"),
    ("FC51", "CANON"),
    ("FC86", "CANON"),
    ("B_VSHARP_C", "UIH"),
]
UNKNOWN = [
    ("", None),
    ("DETAIL", "GE"),
    ("CHST", "GE"),
    ("B30f", "GE"),
    ("11", None),
    ("C", None),
    ("D", "SIEMENS"),
    ("FC70", "CANON"),
    ("LUNG SMOOTH", None),
    ("Br40d extra", "SIEMENS"),
    ("JANE DOE", "PHILIPS"),
]


@pytest.mark.parametrize(
    ("said", "maker", "found"),
    [
        *((said, maker, "soft") for said, maker in SOFT),
        *((said, maker, "sharp") for said, maker in SHARP),
        *((said, maker, None) for said, maker in UNKNOWN),
    ],
)
def test_kernels_are_soft_or_sharp_or_not_known(said, maker, found):
    assert kernel_class(said, maker) == found


def headers_of(archive_of, *datasets):
    return list(archive_of(datasets).headers.values())


def test_facts_are_columns_of_volumes_and_the_commonest_counts(slice_of, archive_of):
    said = {"Manufacturer": "SIEMENS", "ConvolutionKernel": ["I40f", "3"], "ImageType": ["DERIVED", "PRIMARY"]}
    thick = slice_of(PIXELS, **said, SliceThickness=3.0)
    thin = [slice_of(PIXELS, **said, SliceThickness=1.0, InstanceNumber=place) for place in (2, 3)]
    facts = reconstruction_facts(headers_of(archive_of, thick, *thin))
    assert facts == {"thickness_mm": 1.0, "kernel_class": "soft", "derived": True}
    assert set(facts) <= {field.name for field in VOLUMES.fields}


def test_what_no_header_says_is_null(slice_of, archive_of):
    dataset = slice_of(PIXELS, SliceThickness=0, ImageType=["", "PRIMARY"])
    assert reconstruction_facts(headers_of(archive_of, dataset)) == {
        "thickness_mm": None,
        "kernel_class": None,
        "derived": None,
    }


def reconstructed(kernel: str, diameter_mm: str) -> Dataset:
    group, holder = Dataset(), Dataset()
    group.ConvolutionKernel, group.ReconstructionDiameter = kernel, diameter_mm
    holder.CTReconstructionSequence = [group]
    return holder


@pytest.mark.parametrize(
    ("shared", "frames", "kernel", "found", "flags"),
    [
        ("B30f", (None, None), "B30f", "soft", ("W_COUNT",)),
        (None, ("B70f", "B70f"), "B70f", "sharp", ("W_COUNT",)),
        (None, ("B70f", "B30f"), "B30f", "soft", ("W_COUNT", "W_MIXED")),
        (None, (None, None), None, None, ("W_COUNT",)),
    ],
)
def test_kernels_of_enhanced_ct_are_those_of_its_frames(slice_of, archive_of, shared, frames, kernel, found, flags):
    dataset = part_of_a_concatenation(slice_of, 1, 2)
    dataset.Manufacturer = "SIEMENS"
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.5, 0.5]
    groups = [*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence]
    for group, said in zip(groups, (shared, *frames), strict=True):
        if said is not None:
            group.CTReconstructionSequence = reconstructed(said, "256").CTReconstructionSequence
    archive = archive_of([dataset])
    (stack,) = archive.assembly.stacks
    headers = list(archive.headers.values())
    assert reconstruction_facts(headers)["kernel_class"] == found
    assert series_facts(headers)["columns"]["kernel"] == kernel
    assert stack.flags == flags
