"""Where results live: objects, segments, snapshots, tables."""
