"""Ways to come in, each against the real thing."""
