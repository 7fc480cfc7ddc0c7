"""The version of the library, for saved files and the command line."""

__version__ = "0.1.0"
