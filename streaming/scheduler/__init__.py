"""Which job runs next (`policy`, pure) and how it runs (`dispatcher`)."""
