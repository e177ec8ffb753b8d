"""The secret key, pseudonyms and encryption."""
