"""How well a mask agrees with the truth. Pure functions on integer arrays; one measure a file in `measures/`."""
