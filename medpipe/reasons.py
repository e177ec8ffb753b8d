"""Every reason a subject can be set aside for: code, severity, message, what to do.

The closed list behind ``quarantine.code``, ``instances.code`` and ``volumes.code``. A message
is a template without values: nothing out of a header may enter a reason.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["info", "warning", "error"]


class Reason(NamedTuple):
    """Why a subject was set aside.

    Attributes
    ----------
    severity : {"info", "warning", "error"}
        ``error`` quarantines; ``warning`` flags; ``info`` explains a normal skip.
    message : str
        What was found, without values.
    remedy : str
        What a person can do about it.
    """

    severity: Severity
    message: str
    remedy: str


def _error(message: str, remedy: str) -> Reason:
    return Reason("error", message, remedy)


def _warning(message: str, remedy: str) -> Reason:
    return Reason("warning", message, remedy)


def _info(message: str, remedy: str) -> Reason:
    return Reason("info", message, remedy)


REASONS: dict[str, Reason] = {
    # files
    "E_EMPTY": _error("the file is empty", "export the file again from its source"),
    "E_NOT_DICOM": _info("the file is not DICOM", "nothing to do, unless it should be an image"),
    "E_DETACHED": _error(
        "the header names voxels that lie in another file", "write header and voxels into one file (.nii, .nrrd)"
    ),
    "E_FORMAT": _error(
        "the file is written in a form that is not read (kind of number, encoding, axes)",
        "write it again with plain numbers",
    ),
    "E_CASE_FILE": _error("the case list names a file that is not there", "correct the path in the list"),
    "E_CASE_ROW": _error(
        "a row of the case list names no image, or a label that is none, or takes a file for image and mask, or the rows "
        "of its image name two cases or modalities, or its mask is one of images of two cases",
        "correct the row",
    ),
    "E_DICOMDIR": _info("the file is a directory index of a medium", "nothing to do: files are found by reading them"),
    "S_DICOMDIR_LACKS": _info(
        "a directory index of a medium names files that are not in the archive",
        "copy the medium again, if these images are wanted",
    ),
    "S_ARCHIVE": _info(
        "an archive file (zip, tar, or a compressed DICOM file)", "nothing to do: each member has a row of its own"
    ),
    "E_ARCHIVE_NESTED": _error(
        "an archive file within an archive file; it is not opened", "unpack it beside the archive file it lies in"
    ),
    "E_ARCHIVE_SLIP": _error(
        "the member's name leads out of the archive file, or is no name", "check where it comes from; it may be hostile"
    ),
    "E_ARCHIVE_RATIO": _error(
        "it would inflate to far more than images of its size do",
        "check where it comes from; unpack it yourself if you trust it",
    ),
    "E_ARCHIVE_LIMIT": _error(
        "the archive file has too many members, or too long a directory", "unpack it, or pack it in several"
    ),
    "E_ARCHIVE_DAMAGED": _error(
        "the archive file is cut or damaged; members that can be found are read",
        "transfer the archive file again; join the parts of one that was cut on purpose",
    ),
    "E_ARCHIVE_SPLIT": _error(
        "a part of a zip that was split in several files; nothing of it is read",
        "unpack it from all its parts (7-Zip can), and scan what comes out",
    ),
    "E_ARCHIVE_PROGRAM": _info(
        "a zip behind a program or other bytes (a self-extracting archive file); it is not opened",
        "unpack it (unzip can), if images may be in it",
    ),
    "E_ARCHIVE_OVERLAP": _error("members of the archive file overlap", "check where it comes from; it may be hostile"),
    "E_ARCHIVE_CRC": _error("the member's bytes do not fit its checksum", "transfer the archive file again"),
    "E_ARCHIVE_ENCRYPTED": _error("the member is encrypted", "pack it again without a password"),
    "E_ARCHIVE_METHOD": _error(
        "the member is stored in a way that is not read (compression method, sparse file)",
        "pack it again, stored or deflated",
    ),
    "E_ARCHIVE_LINK": _info(
        "the member is a link", "nothing to do: what it leads to is read where it is a member itself"
    ),
    "E_UNREADABLE": _error("the file cannot be opened or read", "check the permissions and the medium"),
    "E_SYMLINK": _info("the entry is a symbolic link", "scan the folder it points to as an archive of its own"),
    "E_SPECIAL_FILE": _info("the entry is no regular file", "nothing to do"),
    "E_NO_DATASET": _error("the file holds no data set", "export the file again from its source"),
    "E_TRUNCATED": _error("the file ends before its data does", "transfer the file again"),
    "E_LENGTH": _error("a declared length does not fit the file", "export the file again from its source"),
    "E_DEPTH": _error("sequences are nested too deep", "check where this file comes from; it may be hostile"),
    "E_HEADER": _error("the header cannot be parsed", "export the file again, or report the file's maker"),
    "E_MISSING_TAG": _error("a required element is missing", "export the series again with full headers"),
    "E_NO_SOP_CLASS": _error(
        "the object does not say what it is (SOP class)", "export the object again from its source"
    ),
    "E_UNSUPPORTED_SOP": _info("an object without pixels of its own", "nothing to do: it is catalogued"),
    "E_TOO_LARGE": _error("the file is larger than the limit for one object", "raise limits.file_mb in the site file"),
    "S_VIDEO": _info("a film", "nothing to do: it is catalogued"),
    "S_AUDIO": _info("a sound", "nothing to do: it is catalogued"),
    "S_WAVEFORM": _info("a waveform, such as an ECG", "nothing to do: it is catalogued"),
    "S_WHOLE_SLIDE": _info(
        "a whole-slide image: a pyramid of tiles", "nothing to do: it is catalogued; cut out regions to work on"
    ),
    # instances
    "E_DUP_UID_SAME": _info("a copy of another instance, with the same pixels", "nothing to do: it is read once"),
    "E_DUP_UID_DIFF": _warning("another instance bears this UID with other pixels", "find out which one is right"),
    "E_DIMENSIONS": _error("image dimensions are missing or beyond limits", "check the file and its exporter"),
    "E_FRAME_COUNT": _error("the number of frames does not fit the pixel data", "export the file again"),
    "E_UNSUPPORTED_TS": _error("no decoder for this transfer syntax", "transcode the file"),
    "E_COLOUR": _error("no conversion of this colour space to RGB", "convert the file to RGB"),
    "E_CODEC_ERROR": _error("the pixel data cannot be decoded", "export the file again, uncompressed if need be"),
    "E_CODEC_DISAGREE": _error(
        "two decoders give different pixels for this stream", "export the file again, uncompressed if need be"
    ),
    "E_CODEC_CRASH": _error("the decoder crashed on this input", "report the file's syntax; transcode it"),
    "E_CODEC_PANIC": _error("the decoder gave up on this input", "report the file's syntax; transcode it"),
    "E_NONFINITE": _error("values are not finite", "check the rescale values and the pixel data"),
    "E_OP_NONFINITE": _error(
        "an op of the route made infinite values, or none, of voxels that have values",
        "look at its parameters: a value of the image is beyond what they can be used for",
    ),
    "E_RESCALE": _error(
        "rescale values are zero, contradict each other, or are missing in a part of the images", "check the exporter"
    ),
    # series and volumes
    "E_ORIENTATION": _error("the image orientation is no pair of unit vectors at right angles", "check the exporter"),
    "E_SPACING": _error("pixel spacing is missing, or no length an image can have", "check the exporter"),
    "E_MIXED_SERIES": _error("the series cannot be split into stacks of one kind", "sort the series at its source"),
    "E_REPEATED_POSITIONS": _error("slice positions repeat unevenly", "check for missing or doubled instances"),
    "E_INCOMPLETE": _error(
        "images of the last volume of a time series, which is not complete", "transfer the missing instances"
    ),
    "E_AMBIGUOUS_4D": _error(
        "positions repeat and nothing tells the repeats apart, or times of one place are another's at other ranks",
        "export with temporal elements; check for missing instances",
    ),
    "E_GAP": _warning("slices are missing from the stack", "transfer the missing instances"),
    "E_TILT": _error(
        "the stack is sheared by more than the op may straighten", "raise most_tilt_deg, or reconstruct it straight"
    ),
    "E_MOSAIC": _error("a mosaic without the elements to unpack it", "export with the private elements kept"),
    "W_LOCALIZER": _info("a localizer", "nothing to do"),
    "W_ENDINGS": _warning(
        "another volume has the same name with another ending: both are one series, with the same masks",
        "remove the copy, or give each a name of its own",
    ),
    "W_LOSSY": _warning("pixels went through lossy compression", "prefer the original for texture features"),
    "W_UNEVEN": _warning("the steps between slices are uneven", "resample if an op needs even steps"),
    "W_COUNT": _warning("the header counts other slices than were found", "transfer the missing instances"),
    "W_SPACING": _warning(
        "other lengths of the header contradict the spacing (reconstruction diameter, detector, thickness and distance of "
        "slices)",
        "measure something of known size in the image, or look for slices that are missing evenly",
    ),
    "W_PARTIAL": _warning(
        "the last volume of the time series is incomplete and left out", "transfer the missing instances"
    ),
    "W_EXCESS": _warning(
        "the pixel data holds more than the header declares; what is declared is read", "check frames, rows and columns"
    ),
    "W_MIXED": _warning(
        "slices of the stack were acquired or reconstructed in different ways", "sort the series at its source"
    ),
    "W_PARTS": _warning(
        "made of images from two archives whose common images were not compared",
        "scan both under one root, or look at which is right",
    ),
    "W_STRAYS": _warning(
        "other images of the series were refused or lie apart: slices may be missing",
        "look at the quarantine of the series, or export it again",
    ),
    "W_RESCALE": _warning(
        "the rescale values this kind of image must have are missing; values are as stored", "check the exporter"
    ),
    "W_INTERCEPTS": _warning(
        "slices of a CT have one slope and different intercepts: some may be shifted as a whole",
        "look at the slices, check the exporter",
    ),
    "W_UNTIMED": _warning(
        "images of one place that only their numbers tell apart", "export with positions, or with temporal elements"
    ),
    "W_TIMES": _warning(
        "the places of the time series were imaged at times that do not agree; each is in the order of its own times",
        "look at the times; check for missing instances",
    ),
    "W_TILTED": _warning("the stack is sheared (gantry tilt)", "resample to a straight grid if an op needs one"),
    # uptake of a PET
    "E_SUV_UNITS": _error(
        "the values have no unit that an uptake can be made of", "export as BQML, or with the vendor's scale factors"
    ),
    "E_SUV_INTERCEPT": _error(
        "an uptake cannot be made of values that are not stored numbers times a slope",
        "export with rescale slopes, and intercepts of zero",
    ),
    "E_SUV_NOT_ATTN_CORRECTED": _error(
        "the image is not corrected for attenuation", "use the corrected reconstruction of the study"
    ),
    "E_SUV_PROJECTION": _error("a projection of a PET holds no activity concentrations", "use the slices"),
    "E_SUV_MULTIFRAME": _error(
        "a multi-frame PET without functional groups for its frames", "export the series as single frames"
    ),
    "E_SUV_MIXED": _error(
        "slices disagree about patient, activity given or corrections", "sort the series at its source"
    ),
    "E_SUV_NO_WEIGHT": _error(
        "the patient's weight is missing or zero", "export with the weight, or correct it at the source"
    ),
    "E_SUV_NO_HEIGHT": _error(
        "the patient's height is missing, or the body is beyond what the formula is for",
        "export with the height, or use the kind bw",
    ),
    "E_SUV_NO_SEX": _error("the formula needs the patient's sex", "export with it, or use the kind bw or bsa"),
    "E_SUV_NO_DOSE": _error(
        "the activity given is missing, not above zero, or not one", "correct the radiopharmaceutical at the source"
    ),
    "E_SUV_HALF_LIFE": _error(
        "the half-life is missing, or is not the radionuclide's", "correct the radiopharmaceutical at the source"
    ),
    "E_SUV_DECAY": _error(
        "the header does not say to which time decay is corrected", "export with Decay Correction (0054,1102)"
    ),
    "E_SUV_BAD_TIMES": _error(
        "times of injection and acquisition are missing or impossible",
        "export with times; shift all dates of a study by one offset",
    ),
    "W_SUV_UNIT_GUESSED": _warning(
        "weight, height or activity is taken to be in g, cm or MBq by its size", "correct it at the source"
    ),
    "W_SUV_DATES": _warning(
        "the date of injection does not fit and was set by the time of day", "shift all dates of a study by one offset"
    ),
    "W_SUV_TIMES": _warning(
        "the times that decay may be corrected to disagree by more than a minute", "check the times of the series"
    ),
    "W_SUV_START": _warning(
        "decay is taken to be corrected to the first acquisition", "export with series and frame reference times"
    ),
    "W_SUV_HALF_LIFE": _warning("the half-life is that of the radionuclide's code", "correct it at the source"),
    "W_SUV_SEX": _warning("what depends on the patient's sex is the mean of both formulas", "use the kind bw or bsa"),
    "W_SUV_DECAY": _warning(
        "Corrected Image and Decay Correction disagree; the second is followed", "check the reconstruction"
    ),
    "W_STRAIGHTENED": _warning(
        "measured on slices that an op shifted, or made, by interpolation", "nothing to do, if the recipe means it"
    ),
    "W_UNPLACED": _warning(
        "the file does not say where in the patient the image lies", "write it with its orientation and origin"
    ),
    "W_AFFINES": _warning(
        "the file holds two places for the image that differ; the one that counts first is taken (sform)",
        "find out which one is right, and write it alone",
    ),
    "W_UNITS": _info("the file does not say its unit of length; millimetres are taken", "write it with its unit"),
    "W_TURNED": _warning(
        "the picture asks to be shown turned or mirrored; pixels are as stored", "turn the pixels, if that matters"
    ),
    # routing and regions
    "S_NO_ROUTE": _info("no route of the recipe takes this volume", "add a route if it should be worked on"),
    "S_TOO_FEW_SLICES": _info("fewer slices than the route asks for", "lower min_slices if it should be worked on"),
    "S_OTHER_SOURCE": _info(
        "an instance of this UID is read from another archive",
        "nothing to do: it is read once; find out which one is right if the two differ",
    ),
    "S_NOT_CHOSEN": _info(
        "the recipe takes another volume of the study or patient instead",
        "chosen_instead and decided_by say which and why; change the recipe's select to take another",
    ),
    "S_COHORT": _info("not in the cohort the run was limited to", "run without the cohort, or with a larger one"),
    "S_LIMIT": _info("left out by --limit or --only", "run again without it"),
    "E_GRID": _error("the segmentation does not lie on the image's grid", "resample it or make it again"),
    "E_COMPANION": _error("a companion object cannot be read", "export the segmentation again"),
    "E_LABELS": _error(
        "the mask's values are neither labels nor parts of 1, or too many", "check that the file is a mask"
    ),
    "E_CONTOUR": _error("contours do not lie in the image's planes", "make the structure set again on this series"),
    "E_UNIT": _error(
        "the values are not in the unit that the region source is for",
        "put the op that makes them so (suv, real_world) into its after, or check the exporter",
    ),
    "W_APPROXIMATE": _info(
        "measured in a region that was found roughly", "nothing to do, if the recipe means it; look at some of them"
    ),
    "E_FRAME": _error(
        "the object was drawn, or the companion image made, in another frame of reference than the image's",
        "register it, or make it again on this image",
    ),
    "W_NO_IMAGE": _warning(
        "no volume goes with the segmentation or structure set: the images it was made on are not in the lake, or refused",
        "scan the archive that holds them, or look at why they were refused",
    ),
    "E_NAME_RULE": _error(
        "a rule for names takes too many steps on the name of a structure", "write the rule in a simpler way"
    ),
    "W_OUTSIDE": _warning("the structure lies outside the image", "nothing to do, unless it was drawn on this image"),
    "S_NO_AREA": _info("the structure is made of points or open contours", "nothing to do: it encloses no voxel"),
    "EMPTY_ROI": _warning("the region is empty", "check the threshold or the contours"),
    "SMALL_ROI": _warning("the region is very small", "take texture values with care"),
    "W_UNDEFINED": _warning(
        "nothing that the extraction measures is defined for the region",
        "see whether the spacing is known, and the region large enough for it",
    ),
    "E_CONSTANT": _warning("the image is constant where it should vary", "check the series"),
    "E_NEGATIVE": _error(
        "values below 0, where the op takes magnitudes or intensities", "leave the op out of the route for such images"
    ),
    "E_WINDOW": _error("a filter's window holds too many voxels", "lower its sigma_mm, or resample the image first"),
    "E_LEVELS": _error(
        "too many grey levels in the region for a texture matrix or a histogram",
        "set a range and a wider bin, or a number of bins",
    ),
    "E_REAL_WORLD": _error(
        "no one real-world value map for every value", "name the unit of the map, or use modality values"
    ),
    "E_QUANTITATIVE": _error(
        "the values measure a quantity (ADC, T1, phase, uptake, ...), which the op would put on another scale",
        "leave them out of the route (where derived = false may do), or set quantitative = true for the op if it is meant",
    ),
    "E_VOI": _error(
        "the header does not say how the image is to be shown (no window, no table, or no range)",
        "use window, stretch or percentile, or export with a window",
    ),
    "E_AXES": _error("the image has a time or channel axis", "measure one volume of it at a time"),
    "NO_SPACING": _warning("spacing is not known, so shape is not computed", "export with pixel spacing"),
    # networks
    "E_NETWORK": _error(
        "the network failed on this image, or gave values that are not finite or of another shape than its card says",
        "look at the image; ask who made the network",
    ),
    "E_NETWORK_INPUT": _error(
        "the image is none the network is for (modality, unit, spacing, even slices)",
        "leave it out of the route, or put the op that makes it so (resample, straighten, suv) before the network",
    ),
    "W_SYNTHETIC": _warning(
        "values that a network made, or a region found on such", "nothing to do, if the recipe means it"
    ),
    # companion images and views
    "S_NO_COMPANION": _info(
        "no volume of the study is one that the recipe names as companion", "nothing to do, unless there should be one"
    ),
    "E_OVERLAP": _error(
        "the image and its companion image show too little in common", "check that they belong together"
    ),
    "E_REG_FAILED": _error("a registration ended without a result", "check that both images show the same body part"),
    "E_REG_GAIN": _error(
        "a registration brought the companion image no closer", "check that both images show the same body part"
    ),
    "E_REG_LIMITS": _error(
        "a registration turned or shifted the companion image by more than the recipe allows",
        "look at both images; raise max_rotation_deg or max_translation_mm if it is right",
    ),
    "E_REG_INVERSE": _error(
        "registering the images the other way round gives another result", "look at both images; they may not match"
    ),
    "W_ALIGNED": _warning(
        "measured on a companion image between its voxels, on the grid of the image",
        "nothing to do, if the recipe means it; grid = 'companion' measures its own voxels",
    ),
    "W_BEYOND": _warning(
        "the region, or a part of it, lies where the companion image shows nothing",
        "check that the companion image covers the region; only what it shows is measured",
    ),
    "S_NO_REGION": _info("no region of the case is one that a view shows", "nothing to do, unless there should be one"),
    # scores
    "MISSING_FEATURE": _warning("an input of the model is missing", "add the extraction the model was trained on"),
    "E_MODEL_INPUT": _error("the model's inputs do not fit the extraction", "use the extraction the model names"),
    # running
    "E_TIMEOUT": _error(
        "the case took longer than its deadline", "raise limits.case_s in the site file, run with --retry E_TIMEOUT"
    ),
    "E_OOM": _error(
        "the case needed more memory than its share",
        "raise limits.memory_mb or use fewer workers, run with --retry E_OOM",
    ),
    "E_MEMORY": _error(
        "the case needs more memory than a sandbox may have",
        "raise limits.sandbox_mb and limits.memory_mb in the site file, or use a host with more memory",
    ),
    "E_CRASH": _error(
        "the case ended its process", "run it alone (--only); report the code and the stage if it repeats"
    ),
    "E_CHANGED": _error("the file changed between scan and reading", "scan again"),
    "E_VANISHED": _error("the file was gone when it was to be read", "check the archive, then scan again"),
    "E_INTERNAL": _error("medpipe made a mistake on this subject", "report it with the code and the stage"),
    "E_GPU_MEMORY": _error(
        "the device has too little memory for the case, also for a part of it at a time",
        "permit the CPU for such cases (--device auto, or gpu.fallback in the site file), or give each worker more of "
        "the device (fewer workers, gpu.memory_mb)",
    ),
    "W_ON_CPU": _warning(
        "the device had too little memory for the case, which was computed on the CPU",
        "nothing to do, if numbers of both classes may stand side by side; else run without gpu.fallback, or give each "
        "worker more of the device, with --retry W_ON_CPU",
    ),
    "E_DEVICE": _error(
        "the device failed on the case, also in another process",
        "look at the log of its driver (dmesg, nvidia-smi), run with --retry E_DEVICE; or run with --device cpu",
    ),
}


def reason(code: str) -> Reason:
    """Return the reason of a code; an unknown code is a bug.

    Raises
    ------
    KeyError
        If the code is not in the list.
    """
    return REASONS[code]
