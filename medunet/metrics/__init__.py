"""How well a mask agrees with the truth: pure functions on masks; one measure a file in `measures/`."""
