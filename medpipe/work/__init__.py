"""One case: the wiring of ops, models, archive and lake."""
