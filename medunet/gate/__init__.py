"""The admission gate: which synthetic cases may be learnt from, measured against real ones, and signed."""
