"""What the rooms of the house promise each other: protocols, table schemas, records."""
