"""Who may reach what, and who has."""
