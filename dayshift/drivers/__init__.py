"""The outside world behind protocols. A driver knows one thing outside and no other
driver; it imports the model, never core or gates. Only `runtime.wiring` chooses."""
