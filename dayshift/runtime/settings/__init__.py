"""The two files that people write, read strictly: every error at once, each with file,
line, cause and the way out. No driver is built here and nothing outside is reached."""
