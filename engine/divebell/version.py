"""The version of this package, which journals and traces carry."""

__version__ = "0.1.0"
