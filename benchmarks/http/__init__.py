"""How many requests a second the REST API answers, behind uvicorn: `make bench-http`."""
