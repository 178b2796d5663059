"""The ways to make a mask, one a file, found by file name.

A file has `Options` (a Record), JUDGED_BY (names of the facts that must be as in training; None: the mask is
a training mask, so nothing is repaired or refused) and `draw(options, family, generator)`, one try: a NewMask
in the family's frame, or Refused.
"""
