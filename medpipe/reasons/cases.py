"""Reasons of cases: of routing, regions, networks, companion images and scores, and of how a run may end."""

from __future__ import annotations

from typing import Final

from medpipe.reasons.severity import Reason, error, info, warning

RUNNING: Final[dict[str, Reason]] = {
    # routing and regions
    "S_NO_ROUTE": info("no route of the recipe takes this volume", "add a route if it should be worked on"),
    "S_TOO_FEW_SLICES": info("fewer slices than the route asks for", "lower min_slices if it should be worked on"),
    "S_OTHER_SOURCE": info(
        "an instance of this UID is read from another archive",
        "nothing to do: it is read once; find out which one is right if the two differ",
    ),
    "S_NOT_CHOSEN": info(
        "the recipe takes another volume of the study or patient instead",
        "chosen_instead and decided_by say which and why; change the recipe's select to take another",
    ),
    "S_COHORT": info("not in the cohort the run was limited to", "run without the cohort, or with a larger one"),
    "S_LIMIT": info("left out by --limit or --only", "run again without it"),
    "E_GRID": error("the segmentation does not lie on the image's grid", "resample it or make it again"),
    "E_COMPANION": error("a companion object cannot be read", "export the segmentation again"),
    "E_LABELS": error(
        "the mask's values are neither labels nor parts of 1, or too many", "check that the file is a mask"
    ),
    "E_CONTOUR": error("contours do not lie in the image's planes", "make the structure set again on this series"),
    "E_UNIT": error(
        "the values are not in the unit that the region source is for",
        "put the op that makes them so (suv, real_world) into its after, or check the exporter",
    ),
    "W_APPROXIMATE": info(
        "measured in a region that was found roughly", "nothing to do, if the recipe means it; look at some of them"
    ),
    "E_FRAME": error(
        "the object was drawn, or the companion image made, in another frame of reference than the image's",
        "register it, or make it again on this image",
    ),
    "W_NO_IMAGE": warning(
        "no volume goes with the segmentation or structure set: the images it was made on are not in the lake, or refused",
        "scan the archive that holds them, or look at why they were refused",
    ),
    "E_NAME_RULE": error(
        "a rule for names takes too many steps on the name of a structure", "write the rule in a simpler way"
    ),
    "W_OUTSIDE": warning("the structure lies outside the image", "nothing to do, unless it was drawn on this image"),
    "S_NO_AREA": info("the structure is made of points or open contours", "nothing to do: it encloses no voxel"),
    "EMPTY_ROI": warning("the region is empty", "check the threshold or the contours"),
    "SMALL_ROI": warning("the region is very small", "take texture values with care"),
    "W_UNDEFINED": warning(
        "nothing that the extraction measures is defined for the region",
        "see whether the spacing is known, and the region large enough for it",
    ),
    "E_CONSTANT": warning("the image is constant where it should vary", "check the series"),
    "E_NEGATIVE": error(
        "values below 0, where the op takes magnitudes or intensities", "leave the op out of the route for such images"
    ),
    "E_WINDOW": error("a filter's window holds too many voxels", "lower its sigma_mm, or resample the image first"),
    "E_LEVELS": error(
        "too many grey levels in the region for a texture matrix or a histogram",
        "set a range and a wider bin, or a number of bins",
    ),
    "E_REAL_WORLD": error(
        "no one real-world value map for every value", "name the unit of the map, or use modality values"
    ),
    "E_QUANTITATIVE": error(
        "the values measure a quantity (ADC, T1, phase, uptake, ...), which the op would put on another scale",
        "leave them out of the route (where derived = false may do), or set quantitative = true for the op if it is meant",
    ),
    "E_VOI": error(
        "the header does not say how the image is to be shown (no window, no table, or no range)",
        "use window, stretch or percentile, or export with a window",
    ),
    "E_AXES": error("the image has a time or channel axis", "measure one volume of it at a time"),
    "NO_SPACING": warning("spacing is not known, so shape is not computed", "export with pixel spacing"),
    # networks
    "E_NETWORK": error(
        "the network failed on this image, or gave values that are not finite or of another shape than its card says",
        "look at the image; ask who made the network",
    ),
    "E_NETWORK_INPUT": error(
        "the image is none the network is for (modality, unit, spacing, even slices)",
        "leave it out of the route, or put the op that makes it so (resample, straighten, suv) before the network",
    ),
    "W_SYNTHETIC": warning(
        "values that a network made, or a region found on such", "nothing to do, if the recipe means it"
    ),
    # companion images and views
    "S_NO_COMPANION": info(
        "no volume of the study is one that the recipe names as companion", "nothing to do, unless there should be one"
    ),
    "E_OVERLAP": error(
        "the image and its companion image show too little in common", "check that they belong together"
    ),
    "E_REG_FAILED": error("a registration ended without a result", "check that both images show the same body part"),
    "E_REG_GAIN": error(
        "a registration brought the companion image no closer", "check that both images show the same body part"
    ),
    "E_REG_LIMITS": error(
        "a registration turned or shifted the companion image by more than the recipe allows",
        "look at both images; raise max_rotation_deg or max_translation_mm if it is right",
    ),
    "E_REG_INVERSE": error(
        "registering the images the other way round gives another result", "look at both images; they may not match"
    ),
    "W_ALIGNED": warning(
        "measured on a companion image between its voxels, on the grid of the image",
        "nothing to do, if the recipe means it; grid = 'companion' measures its own voxels",
    ),
    "W_BEYOND": warning(
        "the region, or a part of it, lies where the companion image shows nothing",
        "check that the companion image covers the region; only what it shows is measured",
    ),
    "S_NO_REGION": info("no region of the case is one that a view shows", "nothing to do, unless there should be one"),
    # scores
    "MISSING_FEATURE": warning("an input of the model is missing", "add the extraction the model was trained on"),
    "E_MODEL_INPUT": error("the model's inputs do not fit the extraction", "use the extraction the model names"),
    # running
    "E_TIMEOUT": error(
        "the case took longer than its deadline", "raise limits.case_s in the site file, run with --retry E_TIMEOUT"
    ),
    "E_OOM": error(
        "the case needed more memory than its share",
        "raise limits.memory_mb or use fewer workers, run with --retry E_OOM",
    ),
    "E_MEMORY": error(
        "the case needs more memory than a sandbox may have",
        "raise limits.sandbox_mb and limits.memory_mb in the site file, or use a host with more memory",
    ),
    "E_CRASH": error(
        "the case ended its process", "run it alone (--only); report the code and the stage if it repeats"
    ),
    "E_CHANGED": error("the file changed between scan and reading", "scan again"),
    "E_VANISHED": error("the file was gone when it was to be read", "check the archive, then scan again"),
    "E_INTERNAL": error("medpipe made a mistake on this subject", "report it with the code and the stage"),
    "E_GPU_MEMORY": error(
        "the device has too little memory for the case, also for a part of it at a time",
        "permit the CPU for such cases (--device auto, or gpu.fallback in the site file), or give each worker more of "
        "the device (fewer workers, gpu.memory_mb)",
    ),
    "W_ON_CPU": warning(
        "the device had too little memory for the case, which was computed on the CPU",
        "nothing to do, if numbers of both classes may stand side by side; else run without gpu.fallback, or give each "
        "worker more of the device, with --retry W_ON_CPU",
    ),
    "E_DEVICE": error(
        "the device failed on the case, also in another process",
        "look at the log of its driver (dmesg, nvidia-smi), run with --retry E_DEVICE; or run with --device cpu",
    ),
}
