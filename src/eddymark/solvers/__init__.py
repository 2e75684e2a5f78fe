"""Solvers of the incompressible Navier–Stokes equations."""
