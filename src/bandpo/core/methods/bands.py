"""The bands that have names: the paper's three, and ours with another lower side."""

from bandpo.core.divergences.registry import get_divergence
from bandpo.core.methods.band_family import band_method
from bandpo.core.methods.registry import register

for divergence in ("kl", "tv", "chi2"):
    register(band_method(get_divergence(divergence)))
register(
    band_method(
        get_divergence("kl"),
        "band-upper",
        "Bound KL by δ above, hold the ratio at 0.8 or more below",
        "1 - eps_low <= r",
        eps_low=0.2,
    )
)
register(
    band_method(
        get_divergence("kl"),
        "band-mirror",
        "Bound KL by δ above, and mirrored below",
        "r >= 1/U(1 - p), U the upper bound",
        lower="mirror",
    )
)
