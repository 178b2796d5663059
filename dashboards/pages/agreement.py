"""placeholder"""


def page() -> None:
    """x"""
