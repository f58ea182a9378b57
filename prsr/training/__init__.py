"""How does it learn? The step of equation 8, and the loop around it."""
