"""Evaluates models: methods, metrics, Table 1 and the paper's figures."""
