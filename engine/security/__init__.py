"""Keys, sealing, keyed hashes, the audit chain and roles."""
