"""Images that are not DICOM: volumes in NIfTI and NRRD, pictures, and what is only catalogued."""
