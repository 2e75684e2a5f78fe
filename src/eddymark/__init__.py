"""eddymark: does a learned surrogate of turbulence really beat classical large-eddy simulation?"""

__version__ = "0.1.0"
