"""Fixtures for the tests that run whole programs (Python 3.11, standard library only)."""
