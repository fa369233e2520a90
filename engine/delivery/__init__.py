"""Floor 5: lanes that send what is owed, one message in flight each, and settle it."""
