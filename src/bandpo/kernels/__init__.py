"""Fused kernels for accelerators; each imports Triton only when it is used, and none is needed for a result."""
