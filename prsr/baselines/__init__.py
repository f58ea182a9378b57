"""The baselines that the paper's model is compared with (section 5)."""
