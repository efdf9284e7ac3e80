"""What is heard beside words, measured through whole sessions: events in mixtures, invented words, cost."""
