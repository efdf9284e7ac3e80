"""The tag head's training: scenes mixed from a manifest, heard through the live encoder, fitted in minutes on a CPU."""
