"""What is opened around a pass and closed again: silences, freezes, notices."""
