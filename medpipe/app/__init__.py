"""The verbs: what the command line and the flows call."""
