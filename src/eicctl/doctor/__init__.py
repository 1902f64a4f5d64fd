"""What keeps a connection from working: looks at AWS, at the way to it and at the tunnel, and tells the cause."""
