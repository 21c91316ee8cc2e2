"""f-divergences: their bounds on a ratio, in closed form, by table or by a root finder."""
