"""An independent sender and receiver with ledgers, and a checker that trusts only those."""
