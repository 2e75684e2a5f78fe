"""Tests of reading and writing fields of other programs."""
