"""The forced-choice study of section 5.3: who is shown what, the server, and the analysis."""
