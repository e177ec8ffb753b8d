"""Headers read from a file's first bytes, where there is no doubt how; pydicom reads the rest."""
