"""`python -m benchmarks.gpu`: step times by batch size on one device, and how near they are to what it can do."""
