"""Reading archives: sources, headers, stacks, pixels, companions."""
