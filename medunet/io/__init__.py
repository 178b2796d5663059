"""The only place that opens an image file or speaks DICOM. Never imports torch."""
