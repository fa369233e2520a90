"""Floor 4: the site as the analyst wrote it: strict loader, models, JSON Schema."""
