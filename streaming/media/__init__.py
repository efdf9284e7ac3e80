"""Encoded audio to samples, in processes of their own that have limits: what comes from outside may be anything."""
