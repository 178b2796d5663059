"""Masks under review: the worklist, who holds a case, every version of a mask, and what was decided."""
