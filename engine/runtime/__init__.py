"""Floor 6: the running engine: build, supervisor, operations, upkeep, metrics, logs."""
