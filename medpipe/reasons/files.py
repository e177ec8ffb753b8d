"""Reasons that a scan gives: of files and archive files, and of the instances in them."""

from __future__ import annotations

from typing import Final

from medpipe.reasons.severity import Reason, error, info, warning

SCANNING: Final[dict[str, Reason]] = {
    # files
    "E_EMPTY": error("the file is empty", "export the file again from its source"),
    "E_NOT_DICOM": info("the file is not DICOM", "nothing to do, unless it should be an image"),
    "E_DETACHED": error(
        "the header names voxels that lie in another file", "write header and voxels into one file (.nii, .nrrd)"
    ),
    "E_FORMAT": error(
        "the file is written in a form that is not read (kind of number, encoding, axes)",
        "write it again with plain numbers",
    ),
    "E_CASE_FILE": error("the case list names a file that is not there", "correct the path in the list"),
    "E_CASE_ROW": error(
        "a row of the case list names no image, or a label that is none, or takes a file for image and mask, or the rows "
        "of its image name two cases or modalities, or its mask is one of images of two cases",
        "correct the row",
    ),
    "E_DICOMDIR": info("the file is a directory index of a medium", "nothing to do: files are found by reading them"),
    "S_DICOMDIR_LACKS": info(
        "a directory index of a medium names files that are not in the archive",
        "copy the medium again, if these images are wanted",
    ),
    "S_ARCHIVE": info(
        "an archive file (zip, tar, or a compressed DICOM file)", "nothing to do: each member has a row of its own"
    ),
    "E_ARCHIVE_NESTED": error(
        "an archive file within an archive file; it is not opened", "unpack it beside the archive file it lies in"
    ),
    "E_ARCHIVE_SLIP": error(
        "the member's name leads out of the archive file, or is no name", "check where it comes from; it may be hostile"
    ),
    "E_ARCHIVE_RATIO": error(
        "it would inflate to far more than images of its size do",
        "check where it comes from; unpack it yourself if you trust it",
    ),
    "E_ARCHIVE_LIMIT": error(
        "the archive file has too many members, or too long a directory", "unpack it, or pack it in several"
    ),
    "E_ARCHIVE_DAMAGED": error(
        "the archive file is cut or damaged; members that can be found are read",
        "transfer the archive file again; join the parts of one that was cut on purpose",
    ),
    "E_ARCHIVE_SPLIT": error(
        "a part of a zip that was split in several files; nothing of it is read",
        "unpack it from all its parts (7-Zip can), and scan what comes out",
    ),
    "E_ARCHIVE_PROGRAM": info(
        "a zip behind a program or other bytes (a self-extracting archive file); it is not opened",
        "unpack it (unzip can), if images may be in it",
    ),
    "E_ARCHIVE_OVERLAP": error("members of the archive file overlap", "check where it comes from; it may be hostile"),
    "E_ARCHIVE_CRC": error("the member's bytes do not fit its checksum", "transfer the archive file again"),
    "E_ARCHIVE_ENCRYPTED": error("the member is encrypted", "pack it again without a password"),
    "E_ARCHIVE_METHOD": error(
        "the member is stored in a way that is not read (compression method, sparse file)",
        "pack it again, stored or deflated",
    ),
    "E_ARCHIVE_LINK": info(
        "the member is a link", "nothing to do: what it leads to is read where it is a member itself"
    ),
    "E_UNREADABLE": error("the file cannot be opened or read", "check the permissions and the medium"),
    "E_SYMLINK": info("the entry is a symbolic link", "scan the folder it points to as an archive of its own"),
    "E_SPECIAL_FILE": info("the entry is no regular file", "nothing to do"),
    "E_NO_DATASET": error("the file holds no data set", "export the file again from its source"),
    "E_TRUNCATED": error("the file ends before its data does", "transfer the file again"),
    "E_LENGTH": error("a declared length does not fit the file", "export the file again from its source"),
    "E_DEPTH": error("sequences are nested too deep", "check where this file comes from; it may be hostile"),
    "E_HEADER": error("the header cannot be parsed", "export the file again, or report the file's maker"),
    "E_MISSING_TAG": error("a required element is missing", "export the series again with full headers"),
    "E_NO_SOP_CLASS": error(
        "the object does not say what it is (SOP class)", "export the object again from its source"
    ),
    "E_UNSUPPORTED_SOP": info("an object without pixels of its own", "nothing to do: it is catalogued"),
    "E_TOO_LARGE": error("the file is larger than the limit for one object", "raise limits.file_mb in the site file"),
    "S_VIDEO": info("a film", "nothing to do: it is catalogued"),
    "S_AUDIO": info("a sound", "nothing to do: it is catalogued"),
    "S_WAVEFORM": info("a waveform, such as an ECG", "nothing to do: it is catalogued"),
    "S_WHOLE_SLIDE": info(
        "a whole-slide image: a pyramid of tiles", "nothing to do: it is catalogued; cut out regions to work on"
    ),
    # instances
    "E_DUP_UID_SAME": info("a copy of another instance, with the same pixels", "nothing to do: it is read once"),
    "E_DUP_UID_DIFF": warning("another instance bears this UID with other pixels", "find out which one is right"),
    "E_DIMENSIONS": error("image dimensions are missing or beyond limits", "check the file and its exporter"),
    "E_FRAME_COUNT": error("the number of frames does not fit the pixel data", "export the file again"),
    "E_UNSUPPORTED_TS": error("no decoder for this transfer syntax", "transcode the file"),
    "E_COLOUR": error("no conversion of this colour space to RGB", "convert the file to RGB"),
    "E_CODEC_ERROR": error("the pixel data cannot be decoded", "export the file again, uncompressed if need be"),
    "E_CODEC_DISAGREE": error(
        "two decoders give different pixels for this stream", "export the file again, uncompressed if need be"
    ),
    "E_CODEC_CRASH": error("the decoder crashed on this input", "report the file's syntax; transcode it"),
    "E_CODEC_PANIC": error("the decoder gave up on this input", "report the file's syntax; transcode it"),
    "E_NONFINITE": error("values are not finite", "check the rescale values and the pixel data"),
    "E_OP_NONFINITE": error(
        "an op of the route made infinite values, or none, of voxels that have values",
        "look at its parameters: a value of the image is beyond what they can be used for",
    ),
    "E_RESCALE": error(
        "rescale values are zero, contradict each other, or are missing in a part of the images", "check the exporter"
    ),
}
