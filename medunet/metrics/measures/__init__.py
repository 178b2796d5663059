"""The measures, one a file. The file's name is the measure's name in every table, and carries its unit.

A file has TITLE (for people), BETTER (`high`, `low`, or `zero` for a signed error) and `measure(pair)`,
which returns NaN where there is nothing to score.
"""
