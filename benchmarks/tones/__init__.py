"""What the tone detectors hear in speech, in noise, how soon, and what they cost."""
