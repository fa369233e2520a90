"""Floor 7: the commands; every one is thin and calls one operation."""
