"""f-divergences: their bounds on a ratio, in closed form, by table or by a root finder."""

# Whoever needs one divergence may ask for any by name, an unpickled one included.
from bandpo.core.divergences import registry as registry
