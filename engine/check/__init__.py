"""Floor 5: everything that can be found wrong with a site before a message arrives."""
