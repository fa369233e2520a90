"""Floor 4: the analyst's language and the pure run from one message to its outputs."""
