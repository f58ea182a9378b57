"""Turns images into pairs of low and high resolution."""
