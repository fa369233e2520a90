"""Floor 1: HL7 v2 itself: the lazy, lossless message, paths, character sets, acks, definitions."""
