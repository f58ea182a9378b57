"""Evaluates models: methods, scores, Table 1 and the paper's figures."""
