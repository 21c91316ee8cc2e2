"""Methods of the literature and ours, each declared where its rule is written."""

# The order in which documentation and command line list them.
# isort: off
from bandpo.core.methods import fixed_clip as fixed_clip
from bandpo.core.methods import bands as bands
from bandpo.core.methods import atr_grpo as atr_grpo
from bandpo.core.methods import dcpo as dcpo
from bandpo.core.methods import flexible_entropy as flexible_entropy
from bandpo.core.methods import dppo as dppo
from bandpo.core.methods import covariance as covariance
from bandpo.core.methods import maspo as maspo
from bandpo.core.methods import cfpo as cfpo
from bandpo.core.methods import drpo as drpo
from bandpo.core.methods import sapo as sapo
from bandpo.core.methods import ce_gppo as ce_gppo
from bandpo.core.methods import cispo as cispo
from bandpo.core.methods import gspo as gspo
from bandpo.core.methods import quatro as quatro
from bandpo.core.methods import tre as tre
from bandpo.core.methods import entropy_bonus as entropy_bonus
# isort: on
