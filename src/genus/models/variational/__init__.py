"""Variational models."""
