"""Verification of the solver and the closures against references from outside: `python -m verification`.

One module per case simulates and measures; `figures.py` draws and `page.py` writes docs/verification.md. Whatever has
been computed stays in a folder of results and is computed again only if the code or the parameters have changed; killed
simulations go on from their last checkpoint.
"""
