"""Model packages: train, package, score by name."""
