"""From a trained network to labels of a whole image."""
