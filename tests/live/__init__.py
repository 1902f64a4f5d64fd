"""The tests against real AWS (`make test-aws`), which `make test` runs against the local AWS."""
