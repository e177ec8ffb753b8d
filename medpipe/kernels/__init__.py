"""Pure array functions: no Volume, no input or output."""
