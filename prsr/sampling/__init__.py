"""Drawing images, sub-pixel by sub-pixel."""
