"""Boltzmann models."""
