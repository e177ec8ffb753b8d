"""medpipe: from an untrusted archive of medical images to tables one can trust."""

__version__ = "0.1.0"
