"""NextRec: recommendation models in PyTorch."""

__version__ = "1.0.0.dev0"
