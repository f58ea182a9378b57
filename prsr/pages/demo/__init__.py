"""A web page for trying out a model."""
