"""Views and reports over the published tables."""
