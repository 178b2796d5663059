"""De-identification of DICOM for research: PS3.15 Basic Profile, keyed UIDs, moved dates, verified."""
