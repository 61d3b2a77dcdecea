"""Inference: pure functions on tensors."""
