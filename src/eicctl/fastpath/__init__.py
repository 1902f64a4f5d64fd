"""What is done before Click is imported: OpenSSH waits for `eicctl proxy`'s first byte, and a user for the login."""
