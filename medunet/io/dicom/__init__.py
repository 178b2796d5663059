"""DICOM in: from files and headers to slices, volumes and the series that results refer to."""
