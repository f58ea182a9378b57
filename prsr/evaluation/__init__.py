"""How good is it? Methods, scores, Table 1 and the paper's figures."""
