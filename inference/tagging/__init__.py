"""What is heard beside words. `tones` is pure and loads no torch: the gateway may import it."""
