"""Incompressible flow between two plane walls: Fourier modes along them, Stokes modes between them."""
