"""Masks that others drew: DICOM SEG and RTSTRUCT on the grid of their scan."""
