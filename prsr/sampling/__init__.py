"""Draws images sub-pixel by sub-pixel."""
