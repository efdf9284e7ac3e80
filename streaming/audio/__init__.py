"""A client's bytes become int16 samples at 16 kHz on one sample clock. Pure: no sockets, no clock of the wall."""
