"""Training of steppers: windows of data, the Lightning module, the loop."""
