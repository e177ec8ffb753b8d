from __future__ import annotations

import pytest

from medpipe.archive.quantity import PARAMETRIC_MAP, quantity_of

MR = "1.2.840.10008.5.1.4.1.1.4"


@pytest.mark.parametrize(
    ("image_type", "quantity"),
    [
        (("DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND", "NORM"), "ADC"),
        (("DERIVED", "PRIMARY", "ADC"), "ADC"),
        (("ORIGINAL", "PRIMARY", "P", "ND"), "PHASE"),
        (("ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"), "PHASE"),
        (("ORIGINAL", "PRIMARY", "VELOCITY MAP", "P", "PCA"), "PHASE"),
        (("DERIVED", "PRIMARY", "M", "T1 MAP"), "T1"),
        (("DERIVED", "PRIMARY", "T2_STAR_MAP", "T2_STAR"), "T2_STAR"),
        (("DERIVED", "SECONDARY", "fat_fraction"), "FAT_FRACTION"),
        (("DERIVED", "PRIMARY", "PERFUSION", "RELCBF"), "CBF"),
        (("DERIVED", "PRIMARY", "STIFFNESS MAP"), "MAP"),
        (("ORIGINAL", "PRIMARY", "M", "ND", "NORM"), ""),
        # weightings, and what says how an image was made
        (("ORIGINAL", "PRIMARY", "T1", "NONE"), ""),
        (("DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"), ""),
        (("DERIVED", "PHASE"), ""),
        (("DERIVED", "PRIMARY", "MAP"), ""),
        ((), ""),
    ],
)
def test_an_image_type_names_a_quantity_by_a_closed_list(image_type, quantity):
    assert quantity_of([(MR, image_type), (MR, image_type)], modality="MR") == quantity


def test_one_member_that_is_a_map_makes_the_stack_one():
    plain, phase = (MR, ("ORIGINAL", "PRIMARY", "M")), (MR, ("ORIGINAL", "PRIMARY", "P"))
    assert quantity_of([plain, phase, plain], modality="MR") == "PHASE"
    # P stands for other things elsewhere
    assert quantity_of([phase], modality="US") == ""
    assert quantity_of([(PARAMETRIC_MAP, ())], modality="MR") == "MAP"
    assert quantity_of([], modality="MR") == ""
    assert quantity_of([], modality="PT", unit="SUV") == "UPTAKE"
    assert quantity_of([], modality="PT", unit="BQML") == ""
