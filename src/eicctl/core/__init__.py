"""Values and errors that every room shares. No I/O."""
