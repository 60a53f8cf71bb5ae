"""The nouns, frozen. Values and their arithmetic; no decision, no I/O, no clock."""
