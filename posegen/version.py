"""Version of posegen, written here only."""

__version__ = "0.1.0"
