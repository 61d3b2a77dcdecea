"""Blocks of networks, without probability."""
