"""Tests of the speed benchmark; none of them is timed."""
