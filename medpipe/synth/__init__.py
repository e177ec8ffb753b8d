"""Phantom archives with known truth."""
