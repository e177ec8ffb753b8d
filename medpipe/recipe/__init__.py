"""Recipes: parsing, defaults, lock, digest, JSON Schema."""
