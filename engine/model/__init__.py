"""Floor 2: the words every floor above shares: records, states, retry, clock, errors."""
