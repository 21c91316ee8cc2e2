"""The mathematics. Torch only, elementwise, no engine; see `divergences`, `band` and `loss` for the idea."""
