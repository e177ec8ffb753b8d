"""Recipe and index to cases."""
