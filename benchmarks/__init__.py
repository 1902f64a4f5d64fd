"""What is measured, and how: `make bench`. Never part of the tests."""
