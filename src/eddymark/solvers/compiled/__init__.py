"""Time steps without gradients on the CPU: FFTW and compiled kernels, the same numbers as the torch path to rounding."""
