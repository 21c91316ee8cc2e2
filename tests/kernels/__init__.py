"""Tests of the fused kernels; Triton runs interpreted, on the CPU."""
