"""Time steps without gradients on the CPU: FFTW and compiled kernels, as exact as the torch path."""
