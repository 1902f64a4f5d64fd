"""The checks of doctor: each `doctor.check.Check` in a module of this package is one; nothing else lists them."""
