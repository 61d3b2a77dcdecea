"""Implicit models."""
