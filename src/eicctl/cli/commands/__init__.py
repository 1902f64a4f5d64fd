"""One module a command: it parses, calls one function of a room below, and renders the result."""
