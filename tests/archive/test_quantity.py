from __future__ import annotations

import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medpipe.archive.quantity import PARAMETRIC_MAP, quantity_of
from medpipe.archive.voxels import load_volume
from tests.archive.test_stack_assembly import part_of_a_concatenation

MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


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


@pytest.mark.parametrize("level", ["top", "shared", "frames"])
@pytest.mark.parametrize(("component", "quantity"), [("PHASE", "PHASE"), ("MAGNITUDE", ""), (None, "")])
def test_an_enhanced_object_may_call_its_frames_phases_by_their_component_alone(
    slice_of, archive_of, level, component, quantity
):
    dataset = enhanced(slice_of)
    said = Dataset()
    said.FrameType = ["ORIGINAL", "PRIMARY", "FMRI", "NONE"]
    if component:
        (dataset if level == "top" else said).ComplexImageComponent = component
    if level == "top":
        dataset.ImageType = said.FrameType
    elif level == "shared":
        dataset.SharedFunctionalGroupsSequence[0].MRImageFrameTypeSequence = [said]
    else:
        for group in dataset.PerFrameFunctionalGroupsSequence:
            group.MRImageFrameTypeSequence = [said]
    archive = archive_of([dataset])
    (stack,) = archive.assembly.stacks
    volume, _ = load_volume(stack, archive.headers, archive.files.__getitem__)
    assert (volume.quantity, stack.shape) == (quantity, (2, 6, 8))


def test_magnitudes_and_phases_of_one_enhanced_object_are_two_images(slice_of, archive_of):
    dataset = enhanced(slice_of)
    for group, component in zip(dataset.PerFrameFunctionalGroupsSequence, ("MAGNITUDE", "PHASE"), strict=True):
        said = Dataset()
        said.FrameType, said.ComplexImageComponent = ["ORIGINAL", "PRIMARY", "FMRI", "NONE"], component
        group.MRImageFrameTypeSequence = [said]
        group.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 3.0]
    archive = archive_of([dataset])
    volumes = [load_volume(stack, archive.headers, archive.files.__getitem__)[0] for stack in archive.assembly.stacks]
    assert sorted((volume.quantity, *volume.data.shape) for volume in volumes) == [("", 1, 6, 8), ("PHASE", 1, 6, 8)]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_ge_tells_phases_in_an_element_of_its_own(stack_of, archive_of, syntax):
    slices = [*stack_of(3), *stack_of(3)]
    for place, dataset in enumerate(slices):
        dataset.SOPInstanceUID, dataset.Modality, dataset.SOPClassUID = f"1.2.3.{place}", "MR", MR
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        dataset.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", place // 3)
        dataset.file_meta.TransferSyntaxUID = syntax
    archive = archive_of(slices)
    volumes = [load_volume(stack, archive.headers, archive.files.__getitem__)[0] for stack in archive.assembly.stacks]
    assert sorted((volume.quantity, *volume.data.shape) for volume in volumes) == [("", 3, 6, 8), ("PHASE", 3, 6, 8)]


def enhanced(slice_of):
    dataset = part_of_a_concatenation(slice_of, 1, None)
    dataset.SOPClassUID, dataset.Modality = ENHANCED_MR, "MR"
    return dataset
