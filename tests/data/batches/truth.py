"""Four sequences that every file here holds, as formulas: what a reader must find, up to what its format leaves out."""

import math
from dataclasses import dataclass

STEP = 7
PROMPTS = ([100, 101], [200, 201, 202])
LENGTHS = (3, 5, 4, 6)
GROUPS = (0, 0, 1, 1)
ADVANTAGES = (1.0, -1.0, 0.5, -0.5)
# A tool's output in the middle of the second.
NOT_SAMPLED = (1, 2)


@dataclass(frozen=True)
class Sequence:
    """What is known of one sequence, a number a token."""

    number: int

    @property
    def prompt(self) -> list[int]:
        return PROMPTS[GROUPS[self.number]]

    @property
    def prompt_text(self) -> str:
        return f"question {GROUPS[self.number]}"

    @property
    def tokens(self) -> list[int]:
        return [10 * self.number + place for place in self.places]

    @property
    def places(self) -> range:
        return range(LENGTHS[self.number])

    @property
    def mask(self) -> list[int]:
        return [int((self.number, place) != NOT_SAMPLED) for place in self.places]

    @property
    def logp_old(self) -> list[float]:
        return [-math.log(2 + self.number + place) for place in self.places]

    @property
    def logp(self) -> list[float]:
        return [old + (place - self.number) / 100 for old, place in zip(self.logp_old, self.places, strict=True)]

    @property
    def logp_rollout(self) -> list[float]:
        return [old - (1 + place) / 1000 for old, place in zip(self.logp_old, self.places, strict=True)]

    @property
    def logp_ref(self) -> list[float]:
        return [old - 0.05 for old in self.logp_old]

    @property
    def entropy(self) -> list[float]:
        return [1 / (1 + place) + self.number / 10 for place in self.places]

    @property
    def advantage(self) -> float:
        return ADVANTAGES[self.number]

    @property
    def advantages(self) -> list[float]:
        return [self.advantage for _ in self.places]

    @property
    def reward(self) -> float:
        return float(self.number % 2)

    @property
    def group(self) -> int:
        return GROUPS[self.number]


SEQUENCES = tuple(Sequence(number) for number in range(4))
