"""The steps of the language, one file per family."""
