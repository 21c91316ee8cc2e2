"""Bad arguments of eval, compare, bounds, match, methods, recipe, data, bench and atlas."""

from __future__ import annotations

import shlex

from benchmarks.attack.case import Case
from benchmarks.attack.inputs.common import small_train
from benchmarks.attack.tiny import GRADED

# Command -> lines of bad words, and what the message has to name.
_WORDS = {
    "eval": r"""
        --n 0  =>  n=0
        --n -1  =>  n
        --n many  =>  n
        --n 1.5  =>  n
        --k 0  =>  k
        --k 9 --n 8  =>  k
        --k ,  =>  k
        --k 1,,2  =>  k
        --temperature -1  =>  temperature
        --temperature nan  =>  temperature
        --temperature inf  =>  temperature
        --temperature 0 --n 8  =>  temperature
        --top-p 0  =>  top_p
        --top-p 2  =>  top_p
        --top-p nan  =>  top_p
        --max-tokens 0  =>  max_tokens
        --max-tokens 9999  =>  max_tokens
        --seed -1  =>  seed
        --seed x  =>  seed
        --batch-size 0  =>  batch_size
        --limit 0  =>  limit
        --limit -3  =>  limit
        --engine tgi  =>  engine
        --engine vllm  =>  vllm
        --dtype int8  =>  dtype
        --dtype ''  =>  dtype
        --engine-kwargs {  =>  engine_kwargs
        --engine-kwargs []  =>  engine_kwargs
        --engine-kwargs '{"no_such": 1}' --engine transformers  =>  no_such
        --chat-template-kwargs 7  =>  chat_template_kwargs
        --tasks ''  =>  tasks
        --tasks ,  =>  tasks
        --tasks countdown,countdown  =>  countdown
        --tasks countdwn  =>  countdown
        --tasks none.jsonl  =>  none.jsonl
        --tasks countdown=x.jsonl  =>  x.jsonl
        --model ./nothing  =>  nothing
        --model countdwn  =>  countdwn
        --reward os.path  =>  reward
        --template x  =>  template
        --revision x  =>  revision
        --compare a  =>  compare
        --compare a b  =>  a
        --compare /dev/null /dev/null  =>  /dev/null
        extra  =>  extra
        --no-such 1  =>  no-such
    """,
    "compare": r"""
        --seeds 999999999999  =>  seeds
        --seeds 0-999999999999  =>  seeds
        --seeds 0  =>  seeds
        --seeds -1  =>  seeds
        --seeds 5-1  =>  seeds
        --seeds 1,1  =>  seeds
        --seeds x  =>  seeds
        --seeds ''  =>  seeds
        --seeds 1.5  =>  seeds
        --seeds -5--1  =>  seeds
        --seeds 1,-2  =>  seeds
        --jobs 0 --seeds 1  =>  jobs
        --jobs -1 --seeds 1  =>  jobs
        --jobs x  =>  jobs
        --methods ''  =>  methods
        --methods ,  =>  methods
        --methods grpo,grpo  =>  grpo
        --methods nothing  =>  nothing
        --methods band-kl:delta  =>  delta
        --methods band-kl:detla=1  =>  detla
        --methods band-kl:delta=x  =>  delta
        --methods band-kl:delta=-1  =>  delta
        --methods band-kl:delta=nan  =>  delta
        --methods ../x  =>  ../x
        --methods grpo:eps_high=[1]  =>  eps_high
        --methods grpo:eps_high={a:1}  =>  grpo
        --methods grpo --seed 1  =>  seed
        --methods grpo --output_dir x  =>  output_dir
        --methods grpo --learning_rat 1  =>  learning_rat
        --methods grpo --learning_rate nan  =>  learning_rate
        --methods grpo --overwrite  =>  overwrite
        --methods grpo --max_steps 0 --seeds 1  =>  max_steps
        --out /dev/null --seeds 1 --methods grpo  =>  /dev/null
        --methods grpo --config none.yaml  =>  none.yaml
    """,
    "bounds": r"""
        --p 0  =>  p
        --p 1  =>  p
        --p -0.1  =>  p
        --p nan  =>  p
        --p inf  =>  p
        --p x  =>  p
        --p ''  =>  p
        --p 0.1,,x  =>  p
        --delta 0  =>  delta
        --delta -1  =>  delta
        --delta nan  =>  delta
        --delta inf  =>  delta
        --delta x  =>  delta
        --delta 0.1 --methods grpo  =>  delta
        --methods nothing  =>  nothing
        --methods band-kl:x=1  =>  x
        --methods ''  =>  methods
        --draw x.txt  =>  x.txt
        --draw x  =>  x
        --draw none/x.png  =>  none
        --draw /dev/null/x.png  =>  /dev/null
        --draw ''  =>  draw
    """,
    "match": r"""
        --eps 0  =>  eps
        --eps 1  =>  eps
        --eps -1  =>  eps
        --eps nan  =>  eps
        --eps x  =>  eps
        --delta 0  =>  delta
        --delta -1  =>  delta
        --delta nan  =>  delta
        --delta inf  =>  delta
        --p 2  =>  p
        --p ''  =>  p
        --divergence nothing  =>  nothing
        --divergence ''  =>  divergence
        --divergence kl,  =>  divergence
        --batch none.npz --like grpo  =>  none.npz
        --batch none --like grpo  =>  none
        --clip-fraction 0.1  =>  batch
        --like grpo  =>  batch
        --batch x.npz  =>  like
        --batch x.npz --like grpo --clip-fraction 0.1  =>  like
        --batch x.npz --like grpo --eps 0.1  =>  eps
        --batch x.npz --clip-fraction nan  =>  clip_fraction
    """,
    "methods": r"""
        nothing  =>  nothing
        bandkl  =>  band-kl
        ''  =>  method
        band-kl grpo  =>  grpo
        --jsn  =>  jsn
    """,
    "recipe": r"""
        nothing  =>  nothing
        qwen2.5-3b-instruct nothing  =>  nothing
        qwen2.5-3b-instruct band-kl --gpus 0  =>  gpus
        qwen2.5-3b-instruct band-kl --gpus -1  =>  gpus
        qwen2.5-3b-instruct band-kl --gpus x  =>  gpus
        qwen2.5-3b-instruct band-kl --machines 0  =>  machines
        qwen2.5-3b-instruct band-kl --gpus 7  =>  gpus
        qwen2.5-3b-instruct band-kl --engine nothing  =>  engine
        qwen2.5-3b-instruct band-kl --engine trl --machines 2  =>  machines
        qwen2.5-3b-instruct band-kl --engine trl --check --no_such 1  =>  no_such
        qwen2.5-3b-instruct band-kl --engine trl --check --learning_rate nan  =>  learning_rate
        qwen2.5-3b-instruct band-kl --launch  =>  verl
        qwen2.5-3b-instruct band-kl --check  =>  verl
    """,
    "data": r"""
        nothing  =>  nothing
        prepare  =>  NAME
        prepare x  =>  out
        prepare none.jsonl --out o  =>  none.jsonl
        prepare foo --out o  =>  foo
        prepare aime24 --out o --source none.jsonl  =>  none.jsonl
        prepare rows.jsonl --out o --format csv  =>  csv
        prepare rows.jsonl --out o --template nothing  =>  template
        prepare rows.jsonl --out o --template {x}  =>  template
        prepare rows.jsonl --out o --template '{problem'  =>  template
        prepare rows.jsonl --out o --template '{problem.__class__}'  =>  template
        prepare rows.jsonl --out o --near 0  =>  near
        prepare rows.jsonl --out o --near -1  =>  near
        prepare rows.jsonl --out o --near 2  =>  near
        prepare rows.jsonl --out o --near nan  =>  near
        prepare rows.jsonl --out o --against none.jsonl  =>  none.jsonl
        prepare rows.jsonl --out o --against nothing  =>  nothing
        prepare rows.jsonl --out o --max-prompt-tokens 0  =>  max_prompt_tokens
        prepare rows.jsonl --out o --max-prompt-tokens 10  =>  tokenizer
        prepare rows.jsonl --out o --max-prompt-tokens -1 --tokenizer countdown  =>  max_prompt_tokens
        prepare rows.jsonl --out o --tokenizer ./none  =>  none
        prepare rows.jsonl --out rows.jsonl  =>  rows.jsonl
        prepare rows.jsonl --out rows.jsonl/x  =>  rows.jsonl
        prepare rows.jsonl --out o --split test  =>  split
    """,
    "bench": r"""
        --sizes 0  =>  sizes
        --sizes -1  =>  sizes
        --sizes x  =>  sizes
        --sizes ''  =>  sizes
        --sizes nan  =>  sizes
        --sizes inf  =>  sizes
        --device tpu  =>  device
        --device cuda  =>  device
        --threads 0  =>  threads
        --budget 0  =>  budget
        --budget nan  =>  budget
        --budget -1  =>  budget
    """,
    "atlas": r"""
        --out none/x.html  =>  none
        --out .  =>  .
        --out /dev/null/x.html  =>  /dev/null
        --out ''  =>  out
    """,
}
_TOP = (("nothing", "nothing"), ("--no-such", "no-such"), ("trian", "trian"), ("''", ""))
_ROWS = '{"problem": "1+1", "answer": "2"}\n'
_BATCH = "import numpy; a = -numpy.ones((2, 3), 'f'); numpy.savez('x.npz', logp=a, logp_old=a, advantages=a)"


def cases() -> list[Case]:
    """One case for each line of words; a data set and a batch that could be read lie there."""
    found = [
        Case("arguments of `bandpo`", f"bandpo {words}", tuple(shlex.split(words)), says=(says,))
        for words, says in _TOP
    ]
    for command, lines in _WORDS.items():
        for words, _, says in (line.strip().partition("  =>  ") for line in lines.strip().splitlines()):
            argv = (command, *shlex.split(words))
            files = {"rows.jsonl": _ROWS} if command == "data" else {}
            setup = _BATCH if command == "match" and "x.npz" in words else ""
            named = (says, says.replace("_", "-"))
            found.append(Case(f"arguments of `{command}`", f"{command} {words}", argv, files, says=named, setup=setup))
    graded = small_train("--config=countdown", "--reward=own_reward.graded")
    for value in ("1e300", "nan", "-1", "0", "soon"):
        name, env = f"BANDPO_GRADER_TIMEOUT={value}", {"BANDPO_GRADER_TIMEOUT": value}
        files = {"own_reward.py": GRADED}
        found.append(
            Case("environment variables", name, graded, files, env=env, says=("BANDPO_GRADER_TIMEOUT", "timeout"))
        )
    return found
