"""Files that are no DICOM: NIfTI, MetaImage, NRRD and pictures."""
