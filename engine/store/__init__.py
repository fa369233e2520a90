"""The durable store: day files behind one writer, and an in-memory twin for tests."""
