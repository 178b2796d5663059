"""How alike synthetic and real images are: offline, without any downloaded network; one idea a file.

Arrays are images (C, X, Y[, Z]), integer masks (X, Y[, Z]) and feature tables (cases, features). Every
distance depends on the number of cases and on the features, so it is read against the distance of two
halves of the real set (`halves.py`), never against a figure from a paper.
"""
