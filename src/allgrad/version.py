"""Versions, as PyTorch programs ask for them."""

__version__ = "0.1.0"
cuda = None
hip = None
debug = False
git_version = ""
