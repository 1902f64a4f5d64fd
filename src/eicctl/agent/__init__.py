"""The background process of a user: it holds what is detached from a terminal."""
