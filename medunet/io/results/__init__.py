"""DICOM out: segmentations, contours, reports and pictures of a mask."""
