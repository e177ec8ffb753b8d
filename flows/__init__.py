"""Prefect flows: thin shells over medpipe.app."""
