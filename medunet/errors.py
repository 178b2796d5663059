"""The three ways a request can fail that are not a bug of medunet.

Every message says where (file, key, study), what was found, what was expected, and what to do.
"""

from __future__ import annotations


class MedunetError(Exception):
    """A failure that the user can act on; the command line prints it without a traceback."""


class ConfigError(MedunetError):
    """A recipe, card or option is wrong."""


class DataError(MedunetError):
    """An image, mask or data set cannot be used as it is."""


class StudyError(MedunetError):
    """A clinical study cannot be processed as it is."""
