"""Reasons that are found when files become volumes: of series, their geometry, and what their values mean."""

from __future__ import annotations

from typing import Final

from medpipe.reasons.severity import Reason, error, info, warning

ASSEMBLING: Final[dict[str, Reason]] = {
    # series and volumes
    "E_ORIENTATION": error("the image orientation is no pair of unit vectors at right angles", "check the exporter"),
    "E_SPACING": error("pixel spacing is missing, or no length an image can have", "check the exporter"),
    "E_MIXED_SERIES": error("the series cannot be split into stacks of one kind", "sort the series at its source"),
    "E_REPEATED_POSITIONS": error("slice positions repeat unevenly", "check for missing or doubled instances"),
    "E_INCOMPLETE": error(
        "images of the last volume of a time series, which is not complete", "transfer the missing instances"
    ),
    "E_AMBIGUOUS_4D": error(
        "positions repeat and nothing tells the repeats apart, or times of one place are another's at other ranks",
        "export with temporal elements; check for missing instances",
    ),
    "E_GAP": warning("slices are missing from the stack", "transfer the missing instances"),
    "E_TILT": error(
        "the stack is sheared by more than the op may straighten", "raise most_tilt_deg, or reconstruct it straight"
    ),
    "E_MOSAIC": error("a mosaic without the elements to unpack it", "export with the private elements kept"),
    "W_LOCALIZER": info("a localizer", "nothing to do"),
    "W_ENDINGS": warning(
        "another volume has the same name with another ending: both are one series, with the same masks",
        "remove the copy, or give each a name of its own",
    ),
    "W_LOSSY": warning("pixels went through lossy compression", "prefer the original for texture features"),
    "W_UNEVEN": warning("the steps between slices are uneven", "resample if an op needs even steps"),
    "W_COUNT": warning("the header counts other slices than were found", "transfer the missing instances"),
    "W_SPACING": warning(
        "other lengths of the header contradict the spacing (reconstruction diameter, detector, thickness and distance of "
        "slices)",
        "measure something of known size in the image, or look for slices that are missing evenly",
    ),
    "W_PARTIAL": warning(
        "the last volume of the time series is incomplete and left out", "transfer the missing instances"
    ),
    "W_EXCESS": warning(
        "the pixel data holds more than the header declares; what is declared is read", "check frames, rows and columns"
    ),
    "W_MIXED": warning(
        "slices of the stack were acquired or reconstructed in different ways", "sort the series at its source"
    ),
    "W_PARTS": warning(
        "made of images from two archives whose common images were not compared",
        "scan both under one root, or look at which is right",
    ),
    "W_STRAYS": warning(
        "other images of the series were refused or lie apart: slices may be missing",
        "look at the quarantine of the series, or export it again",
    ),
    "W_RESCALE": warning(
        "the rescale values this kind of image must have are missing; values are as stored", "check the exporter"
    ),
    "W_INTERCEPTS": warning(
        "slices of a CT have one slope and different intercepts: some may be shifted as a whole",
        "look at the slices, check the exporter",
    ),
    "W_UNTIMED": warning(
        "images of one place that only their numbers tell apart", "export with positions, or with temporal elements"
    ),
    "W_TIMES": warning(
        "the places of the time series were imaged at times that do not agree; each is in the order of its own times",
        "look at the times; check for missing instances",
    ),
    "W_TILTED": warning("the stack is sheared (gantry tilt)", "resample to a straight grid if an op needs one"),
    # uptake of a PET
    "E_SUV_UNITS": error(
        "the values have no unit that an uptake can be made of", "export as BQML, or with the vendor's scale factors"
    ),
    "E_SUV_INTERCEPT": error(
        "an uptake cannot be made of values that are not stored numbers times a slope",
        "export with rescale slopes, and intercepts of zero",
    ),
    "E_SUV_NOT_ATTN_CORRECTED": error(
        "the image is not corrected for attenuation", "use the corrected reconstruction of the study"
    ),
    "E_SUV_PROJECTION": error("a projection of a PET holds no activity concentrations", "use the slices"),
    "E_SUV_MULTIFRAME": error(
        "a multi-frame PET without functional groups for its frames", "export the series as single frames"
    ),
    "E_SUV_MIXED": error(
        "slices disagree about patient, activity given or corrections", "sort the series at its source"
    ),
    "E_SUV_NO_WEIGHT": error(
        "the patient's weight is missing or zero", "export with the weight, or correct it at the source"
    ),
    "E_SUV_NO_HEIGHT": error(
        "the patient's height is missing, or the body is beyond what the formula is for",
        "export with the height, or use the kind bw",
    ),
    "E_SUV_NO_SEX": error("the formula needs the patient's sex", "export with it, or use the kind bw or bsa"),
    "E_SUV_NO_DOSE": error(
        "the activity given is missing, not above zero, or not one", "correct the radiopharmaceutical at the source"
    ),
    "E_SUV_HALF_LIFE": error(
        "the half-life is missing, or is not the radionuclide's", "correct the radiopharmaceutical at the source"
    ),
    "E_SUV_DECAY": error(
        "the header does not say to which time decay is corrected", "export with Decay Correction (0054,1102)"
    ),
    "E_SUV_BAD_TIMES": error(
        "times of injection and acquisition are missing or impossible",
        "export with times; shift all dates of a study by one offset",
    ),
    "W_SUV_UNIT_GUESSED": warning(
        "weight, height or activity is taken to be in g, cm or MBq by its size", "correct it at the source"
    ),
    "W_SUV_DATES": warning(
        "the date of injection does not fit and was set by the time of day", "shift all dates of a study by one offset"
    ),
    "W_SUV_TIMES": warning(
        "the times that decay may be corrected to disagree by more than a minute", "check the times of the series"
    ),
    "W_SUV_START": warning(
        "decay is taken to be corrected to the first acquisition", "export with series and frame reference times"
    ),
    "W_SUV_HALF_LIFE": warning("the half-life is that of the radionuclide's code", "correct it at the source"),
    "W_SUV_SEX": warning("what depends on the patient's sex is the mean of both formulas", "use the kind bw or bsa"),
    "W_SUV_DECAY": warning(
        "Corrected Image and Decay Correction disagree; the second is followed", "check the reconstruction"
    ),
    "W_STRAIGHTENED": warning(
        "measured on slices that an op shifted, or made, by interpolation", "nothing to do, if the recipe means it"
    ),
    "W_UNPLACED": warning(
        "the file does not say where in the patient the image lies", "write it with its orientation and origin"
    ),
    "W_AFFINES": warning(
        "the file holds two places for the image that differ; the one that counts first is taken (sform)",
        "find out which one is right, and write it alone",
    ),
    "W_UNITS": info("the file does not say its unit of length; millimetres are taken", "write it with its unit"),
    "W_TURNED": warning(
        "the picture asks to be shown turned or mirrored; pixels are as stored", "turn the pixels, if that matters"
    ),
}
