"""Floor 5: listeners, and what happens between a frame's last byte and its ack."""
