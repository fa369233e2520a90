"""Floor 3: the MLLP envelope and the exchange of messages and acks, without any I/O."""
