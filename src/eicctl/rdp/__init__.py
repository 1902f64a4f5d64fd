"""Remote Desktop: connection files, the platform's clients, and the administrator's password."""
