"""Ways to reach a person, and to learn that the person took the page."""
