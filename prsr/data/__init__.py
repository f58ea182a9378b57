"""Images in, pairs of low and high resolution out."""
