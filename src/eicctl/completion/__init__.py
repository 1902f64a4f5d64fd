"""Completion of command lines: the scripts for shells, and the answers to what they cannot know."""
