"""How weights are made: reproducible from a manifest and a configuration."""
