"""Pixel Recursive Super Resolution (Dahl, Norouzi and Shlens, 2017)."""

__version__ = "0.1.0"
