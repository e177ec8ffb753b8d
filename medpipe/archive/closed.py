"""Words of a header that may become public, because they come from a closed list."""

from __future__ import annotations

import re
from typing import Final

from pydicom.uid import UID

DICOMDIR: Final = "1.2.840.10008.1.3.10"
LABEL_MAP_CLASS: Final = "1.2.840.10008.5.1.4.1.1.66.7"
SEG_CLASSES: Final = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", LABEL_MAP_CLASS})
RTSTRUCT_CLASS: Final = "1.2.840.10008.5.1.4.1.1.481.3"
DOSE_CLASS: Final = "1.2.840.10008.5.1.4.1.1.481.2"

MODALITIES: Final = frozenset(
    "ANN AR ASMT AU BDUS BI BMD CD CFM CR CS CT CTPROTOCOL DD DF DG DM DMS DOC DS DSPT DX EC ECG EEG EM EMG EOG EPS "  # noqa: SIM905
    "ES FA FID FS GM HC HD IO IOL IVOCT IVUS KER KO LEN LP LS M3D MA MG MR MS NM OAM OCT OP OPM OPR OPT OPTBSV OPTENF "
    "OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT "
    "RWV SEG SM SMR SR SRF ST STAIN TEXTUREMAP TG US VA VF VL XA XAPROTOCOL XC".split()
)
"""Defined terms of Modality (0008,0060), retired ones among them (PS3.3 C.7.3.1.1.1)."""

SECTIONAL: Final = frozenset({"CT", "MR", "PT"})
"""Modalities whose images are slices of a body: each has a place."""

LOCALIZERS: Final = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "REF_SURVIEW"})
"""Values of Image Type (0008,0008) that name an image to plan others on, of all vendors."""

_STANDARD_UID = re.compile(r"1\.2\.840\.10008(\.[0-9]{1,6}){1,10}")


def closed_modality(said: str) -> str:
    """Return a modality of the closed list, ``OT`` for any other text, or nothing for nothing."""
    if not said:
        return ""
    return said if said in MODALITIES else "OT"


def standard_uid(uid: str) -> str | None:
    """Return a UID that DICOM itself assigned (a SOP class, a transfer syntax), or None."""
    return uid if _STANDARD_UID.fullmatch(uid) else None


def is_image_class(sop_class_uid: str) -> bool:
    """Tell whether DICOM names a SOP class as one of images."""
    return "Image Storage" in UID(sop_class_uid).name
