"""The models of a site: each key once, with its type, default, unit and explanation."""
