"""Floor 7: what is served over HTTP."""
