"""The training engine: it does not know what an image is."""
