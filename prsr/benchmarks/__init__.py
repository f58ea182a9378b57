"""What `python -m prsr.benchmark` measures."""
