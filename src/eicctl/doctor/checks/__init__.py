"""The checks of doctor, one a module. Each names its check `CHECK` (`doctor.check.Check`); nothing else lists them."""
