"""The choice of a method in a configuration of TRL's, whichever trainer's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from bandpo.core.methods.registry import get_method
from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.json_objects import read_object
from bandpo.engines.common.objective import Objective
from bandpo.engines.trl.ranges import check_ranges


def clip_range_of(config: Any) -> Mapping[str, Any]:
    """Return what stock TRL clips to under a configuration."""
    high = config.epsilon if config.epsilon_high is None else config.epsilon_high
    return {"eps_low": config.epsilon, "eps_high": high}


@dataclass
class BandOptions:
    """The options that choose a method; a base beside one of TRL's configurations, before it.

    Attributes:
        method: a name from `bandpo.methods()`. "grpo" is stock TRL, clipped by TRL's `epsilon` and `epsilon_high`;
            with every other method these two must be left alone.
        band_delta: radius of the band, in nats for the KL family; the method's own if not given.
        method_kwargs: the method's other hyperparameters, a dict or, on the command line, a JSON object.
        band_metrics: log `band/*`, the metrics of `bandpo.trust_region_metrics`.
    """

    ADAPTER: ClassVar[Adapter]

    method: str = field(default="band-kl", metadata={"help": "Trust region, see `bandpo.methods()`."})
    band_delta: float | None = field(default=None, metadata={"help": "Radius of the band, the method's if not given."})
    method_kwargs: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Other hyperparameters of the method, as a JSON object."}
    )
    band_metrics: bool = field(default=True, metadata={"help": "Log what the trust region did, as `band/*`."})

    def check_method(self) -> None:
        """Raise unless every number is in its range and the options name a method that this trainer can run.

        Raises:
            TypeError: a hyperparameter the method does not take, or of the wrong type.
            ValueError: a value out of range, an unknown method, an input that TRL does not hand to this loss.
        """
        check_ranges(vars(self))
        self._read_mappings()
        get_method(self.method)
        options = f"method={self.method!r}, band_delta={self.band_delta!r}, method_kwargs={self.method_kwargs!r}"
        try:
            self.objective()
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{options}: {error}") from None

    def _read_mappings(self) -> None:
        """Make every option of names and values a dict, JSON objects too."""
        for name in (option.name for option in fields(self) if option.name.endswith("_kwargs")):
            value = getattr(self, name)
            if isinstance(value, str):
                value = read_object(name, value)
                setattr(self, name, value)
            if not isinstance(value, dict | None):
                raise TypeError(f"{name}={value!r}: expected a dict or a JSON object")

    def objective(self) -> Objective:
        """Return the method with all of its hyperparameters, whichever field they came from.

        Raises:
            TypeError: a hyperparameter the method does not take.
            ValueError: a value out of range, a radius given twice.
        """
        options = {"method": self.method, "band_delta": self.band_delta, "method_kwargs": self.method_kwargs}
        return self.ADAPTER.objective_for(options, self)

    def hyperparameters(self) -> dict[str, Any]:
        """Return every hyperparameter of the method, whichever field it came from."""
        return dict(self.objective().options)
