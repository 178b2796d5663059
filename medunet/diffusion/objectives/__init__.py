"""Objectives, found by their file name; a new one is one new file with `Options` and `build`."""
