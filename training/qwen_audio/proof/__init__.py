"""The multi-task scheme at small scale: one small decoder on tiny.en's encoder, on two CPU cores in minutes."""
