"""What is measured on trajectories, how far a stepper is from DNS in it, and how sure that is."""
