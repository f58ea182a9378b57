"""Keras models: the networks of Table 2 and their sum."""
