"""Pure decisions about bandwidth: numpy arrays in, orders out; no I/O, no clock."""
