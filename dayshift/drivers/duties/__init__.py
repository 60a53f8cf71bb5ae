"""Work that exactly one region performs: who holds it, letting go, taking over."""
