"""Loss and gradient of every method at the authors' hyperparameters, as numbers.

Every row is one token of old probability p that has moved to q = r p, once with A = 2 and once with A = -2. p is rare,
middle or likely; r is below the method's lower bound, inside, or above its upper bound, where q <= 1 lets it get there.
The numbers were computed with mpmath to 40 digits from the formulas that stand above each table, which are those of
the papers and of the authors' code (the reference named in the registry), band bounds by bisection of
p f(r) + (1 - p) f((1 - r p)/(1 - p)) = .05; no code of this library took part.
"""

import math

import pytest
import torch

import bandpo

# p    r       A = 2: loss     ∂loss/∂logp     A = -2: loss    ∂loss/∂logp
TABLES = {
    # max(-A r, -A clip(r, .8, 1.2)); a token of p = .95 cannot reach 1.2.
    "grpo": """
        .01  .5      -1              -1              1.6             0
        .01  1.1     -2.2            -2.2            2.2             2.2
        .01  5       -2.4            0               10              10
        .5   .5      -1              -1              1.6             0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.4            0               3.8             3.8
        .95  .5      -1              -1              1.6             0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    # max(-A r, -A clip(r, .8, 1.28)).
    "clip-higher": """
        .01  .5      -1              -1              1.6             0
        .01  1.1     -2.2            -2.2            2.2             2.2
        .01  5       -2.56           0               10              10
        .5   .5      -1              -1              1.6             0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.56           0               3.8             3.8
        .95  .5      -1              -1              1.6             0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    # grpo, and for A < 0 at most -A 3.
    "dual-clip": """
        .01  .5      -1              -1              1.6             0
        .01  2       -2.4            0               4               4
        .01  5       -2.4            0               6               0
        .5   .5      -1              -1              1.6             0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.4            0               3.8             3.8
        .95  .5      -1              -1              1.6             0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    # grpo, and for A < 0 at most -A 4.
    "two-sided": """
        .01  .5      -1              -1              1.6             0
        .01  2       -2.4            0               4               4
        .01  5       -2.4            0               8               0
        .5   .5      -1              -1              1.6             0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.4            0               3.8             3.8
        .95  .5      -1              -1              1.6             0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    # -A r.
    "no-clip": """
        .01  .5      -1              -1              1               1
        .01  1.1     -2.2            -2.2            2.2             2.2
        .01  5       -10             -10             10              10
        .5   .5      -1              -1              1               1
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -3.8            -3.8            3.8             3.8
        .95  .5      -1              -1              1               1
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    # KL(p || r p) <= .05: .0024973857 .. 7.8098463, .6915157 .. 1.3084843, .8957237 .. 1.0441041.
    "band-kl": """
        .01  .001    -.002           -.002           .004994771437   0
        .01  3       -6              -6              6               6
        .01  40      -15.61969258    0               80              80
        .5   .5      -1              -1              1.38303134      0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.61696866     0               3.8             3.8
        .95  .8      -1.6            -1.6            1.791447376     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.088208245    0               2.104           2.104
    """,
    # |r p - p| <= .05: 0 .. 6, .9 .. 1.1, .9473684 .. 1/p.
    "band-tv": """
        .01  .001    -.002           -.002           .002            .002
        .01  3       -6              -6              6               6
        .01  40      -12             0               80              80
        .5   .5      -1              -1              1.8             0
        .5   1.05    -2.1            -2.1            2.1             2.1
        .5   1.9     -2.2            0               3.8             3.8
        .95  .8      -1.6            -1.6            1.894736842     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.104          -2.104          2.104           2.104
    """,
    # p (r - 1)²/(1 - p) <= .05: 0 .. 3.2248595, .7763932 .. 1.2236068, .9487011 .. 1.0512989.
    "band-chi2": """
        .01  .001    -.002           -.002           .002            .002
        .01  3       -6              -6              6               6
        .01  40      -6.449719092    0               80              80
        .5   .5      -1              -1              1.552786405     0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.447213595    0               3.8             3.8
        .95  .8      -1.6            -1.6            1.897402165     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.102597835    0               2.104           2.104
    """,
    # band-kl above, .8 below.
    "band-upper": """
        .01  .001    -.002           -.002           1.6             0
        .01  3       -6              -6              6               6
        .01  40      -15.61969258    0               80              80
        .5   .5      -1              -1              1.6             0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.61696866     0               3.8             3.8
        .95  .8      -1.6            -1.6            1.6             1.6
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.088208245    0               2.104           2.104
    """,
    # band-kl above; below one over band-kl's upper bound of 1 - p: .9900247, .7642430, .3354298.
    "band-mirror": """
        .01  .001    -.002           -.002           1.980049449     0
        .01  3       -6              -6              6               6
        .01  40      -15.61969258    0               80              80
        .5   .5      -1              -1              1.528486015     0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.61696866     0               3.8             3.8
        .95  .8      -1.6            -1.6            1.6             1.6
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.088208245    0               2.104           2.104
    """,
    # r - 1 - log r <= .05: .7161894552 .. 1.3504032560.
    "atr-grpo": """
        .01  .5      -1              -1              1.43237891      0
        .01  1.1     -2.2            -2.2            2.2             2.2
        .01  2       -2.700806512    0               4               4
        .5   .5      -1              -1              1.43237891      0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.700806512    0               3.8             3.8
        .95  .5      -1              -1              1.43237891      0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    # ½ + ½ √max(1 - .64/p, 0) .. min(½ + ½ √(1 + .8/p), 10); for A < 0 at most -A 10.
    "dcpo": """
        .01  .4      -.8             -.8             1               0
        .01  3       -6              -6              6               6
        .01  11      -10             0               20              0
        .5   .4      -.8             -.8             1               0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.61245155     0               3.8             3.8
        .95  .4      -.8             -.8             1.571240571     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    # id at t = ¼: .8 .. ½ 1.5/(1 + p/4) + ½ 1.2.
    "flex-entropy": """
        .01  .5      -1              -1              1.6             0
        .01  1.1     -2.2            -2.2            2.2             2.2
        .01  2       -2.696259352    0               4               4
        .5   .5      -1              -1              1.6             0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.533333333    0               3.8             3.8
        .95  .5      -1              -1              1.6             0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    # -A min(r, 1e4) log q, 0 where A (r - 1) > 0 and |q - p| > .15.
    "dppo-tv": """
        .01  .01     .1842068074     -.02            -.1842068074    .02
        .01  1.1     9.921692014     -2.2            -9.921692014    2.2
        .01  20      0               0               -64.3775165     40
        .5   .5      1.386294361     -1              0               0
        .5   1.1     1.315241402     -2.2            -1.315241402    2.2
        .5   1.9     0               0               -.1949145187    3.8
        .95  .5      .7444404749     -1              0               0
        .95  1.01    .08351278634    -2.02           -.08351278634   2.02
        .95  1.05    .005256573458   -2.1            -.005256573458  2.1
    """,
    # the same with p log(p/q) + (1 - p) log((1 - p)/(1 - q)) > .05.
    "dppo-kl": """
        .01  .01     .1842068074     -.02            -.1842068074    .02
        .01  1.1     9.921692014     -2.2            -9.921692014    2.2
        .01  20      0               0               -64.3775165     40
        .5   .5      1.386294361     -1              0               0
        .5   1.1     1.315241402     -2.2            -1.315241402    2.2
        .5   1.9     0               0               -.1949145187    3.8
        .95  .5      .7444404749     -1              0               0
        .95  1.01    .08351278634    -2.02           -.08351278634   2.02
        .95  1.05    0               0               -.005256573458  2.1
    """,
    # lists (p, (1 - p)/2) and (q, (1 - q) .8), rest (1 - p)/2 and (1 - q) .2; ½ Σ |·| > .15.
    "dppo-topk-tv": """
        .01  .01     .1842068074     -.02            0               0
        .01  1.1     0               0               -9.921692014    2.2
        .01  20      0               0               -64.3775165     40
        .5   .5      1.386294361     -1              0               0
        .5   1.1     0               0               -1.315241402    2.2
        .5   1.9     0               0               -.1949145187    3.8
        .95  .5      .7444404749     -1              0               0
        .95  1.01    .08351278634    -2.02           -.08351278634   2.02
        .95  1.05    .005256573458   -2.1            -.005256573458  2.1
    """,
    # the same lists; Σ μ log(μ/q) > .05.
    "dppo-topk-kl": """
        .01  .01     .1842068074     -.02            0               0
        .01  1.1     0               0               -9.921692014    2.2
        .01  20      0               0               -64.3775165     40
        .5   .5      1.386294361     -1              0               0
        .5   1.1     0               0               -1.315241402    2.2
        .5   1.9     0               0               -.1949145187    3.8
        .95  .5      .7444404749     -1              0               0
        .95  1.01    .08351278634    -2.02           -.08351278634   2.02
        .95  1.05    0               0               -.005256573458  2.1
    """,
    # -A w r, w = e^(-(r - 1)²/(2σ²)) if A (r - 1) > 0; σ = p^-.3 1.06 for A = 2, p^-.3/1.06 for A = -2.
    "maspo": """
        .01  .5      -1              -1              .9911773541     .9911773541
        .01  1.1     -2.199382382    -2.199382382    2.2             2.2
        .01  2       -3.889252079    -3.889252079    4               4
        .5   .5      -1              -1              .9115011319     .9115011319
        .5   1.1     -2.193550507    -2.193550507    2.2             2.2
        .5   1.9     -2.995747265    -2.995747265    3.8             3.8
        .95  .5      -1              -1              .8726738835     .8726738835
        .95  1.01    -2.019912837    -2.019912837    2.02            2.02
        .95  1.05    -2.097735786    -2.097735786    2.1             2.1
    """,
    # -A r + |A| (r - 1)²/.4; -∂ = A r - |A| (r - 1) r/.2.
    "cfpo": """
        .01  .5      .25             -3.5            2.25            -1.5
        .01  1.1     -2.15           -1.1            2.25            3.3
        .01  2       1               16              9               24
        .5   .5      .25             -3.5            2.25            -1.5
        .5   1.1     -2.15           -1.1            2.25            3.3
        .5   1.9     .25             13.3            7.85            20.9
        .95  .5      .25             -3.5            2.25            -1.5
        .95  1.01    -2.0195         -1.919          2.0205          2.121
        .95  1.05    -2.0875         -1.575          2.1125          2.625
    """,
    # -A r + |A| p (r - 1)²/25; -∂ = A r (1 - sign(A (r - 1)) |q - p|/12.5).
    "drpo": """
        .01  .5      -.9998          -1.0004         1.0002          .9996
        .01  1.1     -2.199992       -2.199824       2.200008        2.200176
        .01  2       -3.9992         -3.9968         4.0008          4.0032
        .5   .5      -.99            -1.02           1.01            .98
        .5   1.1     -2.1996         -2.1912         2.2004          2.2088
        .5   1.9     -3.7676         -3.6632         3.8324          3.9368
        .95  .5      -.981           -1.038          1.019           .962
        .95  1.01    -2.0199924      -2.0184648      2.0200076       2.0215352
        .95  1.05    -2.09981        -2.09202        2.10019         2.10798
    """,
    # -A 4/τ σ(τ (r - 1)), -∂ = A r 4 s (1 - s); τ = 1 for A > 0, else 1.05.
    "sapo": """
        .01  .5      -3.02032535     -.9400148488    2.831876661     .9341398233
        .01  1.1     -4.1998335      -2.194509154    4.009340262     2.193947375
        .01  2       -5.848468629    -3.145790932    5.643999232     3.072439167
        .5   .5      -3.02032535     -.9400148488    2.831876661     .9341398233
        .5   1.1     -4.1998335      -2.194509154    4.009340262     2.193947375
        .5   1.9     -5.687596021    -3.123604672    5.486541157     3.063593994
        .95  .5      -3.02032535     -.9400148488    2.831876661     .9341398233
        .95  1.01    -4.019999833    -2.019949501    3.829523626     2.019944325
        .95  1.05    -4.099979172    -2.098688047    3.909500847     2.098553633
    """,
    # -A r; below .8 with A < 0 -A .75 .8, above 1.2 with A > 0 -A 1 1.2; for A < 0 and r > 10 stopped at -A 10.
    "ce-gppo": """
        .01  .5      -1              -1              1.2             1.2
        .01  1.1     -2.2            -2.2            2.2             2.2
        .01  11      -2.4            -2.4            20              0
        .5   .5      -1              -1              1.2             1.2
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.4            -2.4            3.8             3.8
        .95  .5      -1              -1              1.2             1.2
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    # -A min(r, 5) log q.
    "cispo": """
        .01  .5      5.298317367     -1              -5.298317367    1
        .01  1.1     9.921692014     -2.2            -9.921692014    2.2
        .01  8       25.25728644     -10             -25.25728644    10
        .5   .5      1.386294361     -1              -1.386294361    1
        .5   1.1     1.315241402     -2.2            -1.315241402    2.2
        .5   1.9     .1949145187     -3.8            -.1949145187    3.8
        .95  .5      .7444404749     -1              -.7444404749    1
        .95  1.01    .08351278634    -2.02           -.08351278634   2.02
        .95  1.05    .005256573458   -2.1            -.005256573458  2.1
    """,
    # one-token responses: max(-A r, -A clip(r, .9997, 1.0004)).
    "gspo": """
        .01  .999    -1.998          -1.998          1.9994          0
        .01  1.0001  -2.0002         -2.0002         2.0002          2.0002
        .01  1.001   -2.0008         0               2.002           2.002
        .5   .999    -1.998          -1.998          1.9994          0
        .5   1.0001  -2.0002         -2.0002         2.0002          2.0002
        .5   1.001   -2.0008         0               2.002           2.002
        .95  .999    -1.998          -1.998          1.9994          0
        .95  1.0001  -2.0002         -2.0002         2.0002          2.0002
        .95  1.001   -2.0008         0               2.002           2.002
    """,
    # one-token answers, rewards whose multiplier is 1: -r (A - log r) log q.
    "quatro": """
        .01  .5      7.134574239     -1.34657359     -3.462060494    .6534264097
        .01  1.1     9.448872889     -2.095158802    -10.39451114    2.304841198
        .01  2       10.22487659     -2.613705639    -21.07130745    5.386294361
        .5   .5      1.866747375     -1.34657359     -.9058413472    .6534264097
        .5   1.1     1.252563454     -2.095158802    -1.377919349    2.304841198
        .5   1.9     .132361198      -2.580477616    -.2574678393    5.019522384
        .95  .5      1.002443883     -1.34657359     -.4864370668    .6534264097
        .95  1.01    .08309729641    -2.009950166    -.08392827627   2.030049834
        .95  1.05    .005128338917   -2.048770328    -.005384807999  2.151229672
    """,
    # f = u log u - u + 1.
    "band-reverse-kl": """
        .01  .001    -.002           -.002           .002            .002
        .01  3       -6              -6              6               6
        .01  40      -11.02285705    0               80              80
        .5   .5      -1              -1              1.372873607     0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.627126393    0               3.8             3.8
        .95  .8      -1.6            -1.6            1.826948571     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.104          -2.104          2.104           2.104
    """,
    # f = (u - 1)²/u.
    "band-neyman-chi2": """
        .01  .001    -.002           -.002           .2921140835     0
        .01  3       -6              -6              6               6
        .01  40      -13.04121925    0               80              80
        .5   .5      -1              -1              1.56356422      0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.43643578     0               3.8             3.8
        .95  .8      -1.6            -1.6            1.845068159     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.064706277    0               2.104           2.104
    """,
    # f = (√u - 1)².
    "band-hellinger": """
        .01  .001    -.002           -.002           .002            .002
        .01  3       -6              -6              6               6
        .01  40      -20.30005074    0               80              80
        .5   .5      -1              -1              1.133401044     0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.866598956    0               3.8             3.8
        .95  .8      -1.6            -1.6            1.707635933     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.104          -2.104          2.104           2.104
    """,
    # f = (u - 1)²/(u + 1).
    "band-le-cam": """
        .01  .001    -.002           -.002           .002            .002
        .01  3       -6              -6              6               6
        .01  40      -14.62186587    0               80              80
        .5   .5      -1              -1              1.375304952     0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.624695048    0               3.8             3.8
        .95  .8      -1.6            -1.6            1.803205358     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.104          -2.104          2.104           2.104
    """,
    # f = ½ (u log(2u/(1 + u)) + log(2/(1 + u))).
    "band-js": """
        .01  .001    -.002           -.002           .002            .002
        .01  3       -6              -6              6               6
        .01  40      -35.85985969    0               80              80
        .5   .5      -1              -1              1               1
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -3.19296231     0               3.8             3.8
        .95  .8      -1.6            -1.6            1.6             1.6
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.104          -2.104          2.104           2.104
    """,
    # f = (u - 1) log u.
    "band-jeffreys": """
        .01  .001    -.002           -.002           .01316747921    0
        .01  3       -6              -6              6               6
        .01  40      -8.664968587    0               80              80
        .5   .5      -1              -1              1.556516166     0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.443483834    0               3.8             3.8
        .95  .8      -1.6            -1.6            1.875446049     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.07726752     0               2.104           2.104
    """,
    # f = (u^1.5 - 1.5 u + .5)/.75.
    "band-alpha=1.5": """
        .01  .001    -.002           -.002           .002            .002
        .01  3       -6              -6              6               6
        .01  40      -9.465463696    0               80              80
        .5   .5      -1              -1              1.369558225     0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.630441775    0               3.8             3.8
        .95  .8      -1.6            -1.6            1.841863448     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.104          -2.104          2.104           2.104
    """,
    # grpo - .001 H, logits (2, 2, 0, 0): of the two likely tokens log 2, times log 4/log 2.
    "tre": """
        .5   .5      -1.001386294    -1              1.598613706     0
        .5   1.1     -2.201386294    -2.2            2.198613706     2.2
        .5   1.9     -2.401386294    0               3.798613706     3.8
    """,
    # grpo - .001 H, H = .7.
    "entropy": """
        .5   .5      -1.0007         -1              1.5993          0
        .5   1.1     -2.2007         -2.2            2.1993          2.2
        .5   1.9     -2.4007         0               3.7993          3.8
    """,
}
ROWS = [(name, *line.split()) for name, table in TABLES.items() for line in table.strip().splitlines()]
# The multiplier of rewards 1 and 0 is 1 at this radius: w = e/(e + 1), w log 2w + (1 - w) log 2(1 - w).
UNIT_RADIUS = 0.11094407167172735


def inputs_of(name, p, q):
    lists = ([p, (1 - p) / 2], [q, (1 - q) * 0.8])
    mu, listed = (torch.tensor([[part]], dtype=torch.float64).log() for part in lists)
    return {
        "flex-entropy": {"progress": 0.25},
        "dppo-topk-tv": {"topk_logp": listed, "topk_logp_rollout": mu},
        "dppo-topk-kl": {"topk_logp": listed, "topk_logp_rollout": mu},
        "quatro": {"group_rewards": torch.tensor([[1.0, 0.0]], dtype=torch.float64), "delta": UNIT_RADIUS},
        "tre": {"logits": torch.tensor([[[2.0, 2.0, 0.0, 0.0]]], dtype=torch.float64)},
        "entropy": {"entropy": torch.tensor([[0.7]], dtype=torch.float64)},
    }.get(name, {})


def loss_and_gradient(logp, *args, **options):
    logp = logp.clone().requires_grad_()
    out = bandpo.policy_loss(logp, *args, aggregation="seq-mean-token-sum", **options)
    out.loss.backward()
    return out.per_token, logp.grad


@pytest.mark.parametrize(("name", "p", "r", "good", "good_gradient", "bad", "bad_gradient"), ROWS)
def test_loss_and_gradient_are_the_numbers_computed_by_hand(name, p, r, good, good_gradient, bad, bad_gradient):
    p, q = float(p), float(p) * float(r)
    old, logp = (torch.tensor([[math.log(x)]], dtype=torch.float64) for x in (p, q))
    # What the method does not divide by must not matter: the other log-probs are far away.
    other = {"logp_rollout": old} if bandpo.get_method(name).anchor == "rollout" else {"logp_rollout": old - 3}
    old = old if bandpo.get_method(name).anchor == "old" else old - 3
    for advantage, loss, gradient in ((2.0, good, good_gradient), (-2.0, bad, bad_gradient)):
        advantages, mask = torch.tensor([advantage], dtype=torch.float64), torch.ones(1, 1)
        found = loss_and_gradient(logp, old, advantages, mask, method=name, **other, **inputs_of(name, p, q))
        assert [x.item() for x in found] == pytest.approx([float(loss), float(gradient)], rel=2e-9, abs=1e-12)
        assert (found[1].item() == 0) == (float(gradient) == 0)


def test_every_method_has_its_table():
    assert set(TABLES) | {"clip-cov", "kl-cov"} == set(bandpo.methods()) | {"band-alpha=1.5"}


# Four tokens with mean advantage 0 and mean log-prob -2: covariances A (logp + 2) = 3, 2, -2, -1.
LOGP = torch.tensor([[-1.0, -3.0, -1.0, -3.0]], dtype=torch.float64)
LOG_RATIO = torch.tensor([[-0.2, 0.5, 0.0, -0.5]], dtype=torch.float64)
ADVANTAGES = torch.tensor([[3.0, -2.0, -2.0, 1.0]], dtype=torch.float64)
PLAIN = [-2.456192259, 3.297442541, 2.0, -0.6065306597]  # -A r: -3 e^-.2, 2 e^.5, 2, -e^-.5
NOISE = torch.tensor([[0.3, 0.9, 0.99, 0.1]], dtype=torch.float64)
COVARIANCE = [
    # Authors' range 1 .. 5 holds the first two tokens; ⌊2e-4 · 4⌋ is 0, so one is dropped, by noise the second.
    ("clip-cov", {"noise": NOISE}, [PLAIN[0], 0, *PLAIN[2:]], [PLAIN[0], 0, *PLAIN[2:]]),
    ("clip-cov", {"noise": -NOISE}, [0, *PLAIN[1:]], [0, *PLAIN[1:]]),
    ("clip-cov", {"noise": NOISE, "fraction": 0.6}, [0, 0, *PLAIN[2:]], [0, 0, *PLAIN[2:]]),
    ("clip-cov", {"noise": NOISE, "cov_high": 2.5}, [PLAIN[0], 0, *PLAIN[2:]], [PLAIN[0], 0, *PLAIN[2:]]),
    ("clip-cov", {"noise": NOISE, "cov_low": 2.5}, [0, *PLAIN[1:]], [0, *PLAIN[1:]]),
    # The second token's ratio 1.65 is past a dual clip of 1.5: its loss is -A 1.5, without gradient, unless dropped.
    ("clip-cov", {"noise": -NOISE, "dual_clip": 1.5}, [0, 3.0, *PLAIN[2:]], [0, 0, *PLAIN[2:]]),
    # ⌊2e-3 · 4⌋ is 0, so one token is held: the first, with |log r| = .2 and slope -1.
    ("kl-cov", {}, [PLAIN[0] + 0.2, *PLAIN[1:]], [PLAIN[0] - 1, *PLAIN[1:]]),
    ("kl-cov", {"coef": 0.5}, [PLAIN[0] + 0.1, *PLAIN[1:]], [PLAIN[0] - 0.5, *PLAIN[1:]]),
    (
        "kl-cov",
        {"fraction": 0.5},
        [PLAIN[0] + 0.2, PLAIN[1] + 0.5, *PLAIN[2:]],
        [PLAIN[0] - 1, PLAIN[1] + 1, *PLAIN[2:]],
    ),
    # All four: the third has not moved and |0| pushes nowhere, the fourth has moved down.
    (
        "kl-cov",
        {"fraction": 1.0},
        [PLAIN[0] + 0.2, PLAIN[1] + 0.5, 2.0, PLAIN[3] + 0.5],
        [PLAIN[0] - 1, PLAIN[1] + 1, 2.0, PLAIN[3] - 1],
    ),
]


@pytest.mark.parametrize(("name", "options", "loss", "gradient"), COVARIANCE)
def test_covariance_methods_give_the_numbers_computed_by_hand(name, options, loss, gradient):
    found = loss_and_gradient(LOGP, LOGP - LOG_RATIO, ADVANTAGES, torch.ones(1, 4), method=name, **options)
    for values, expected in zip(found, (loss, gradient), strict=True):
        assert values[0].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_gspo_moves_a_response_as_one_token():
    """Ratios .9996 and 1.0006 of two tokens: s = √(.9996 · 1.0006), 1.0000998, is inside though both tokens are not."""
    logp = torch.tensor([[-1.0, -2.0]], dtype=torch.float64)
    ratio = torch.tensor([[0.9996, 1.0006]], dtype=torch.float64)
    mean = 1.00009987501249  # √(.9996 · 1.0006)
    for advantage in (2.0, -2.0):
        inputs = logp, logp - ratio.log(), torch.tensor([advantage], dtype=torch.float64), torch.ones(1, 2)
        for found in loss_and_gradient(*inputs, method="gspo"):
            assert found[0].tolist() == pytest.approx([-advantage * mean] * 2, rel=1e-13)


def test_quatro_moves_an_answer_as_one_token():
    """Ratios 1.5 and .8 of two tokens: ρ = 1.2, and with λ = 1 every token has gradient -ρ (A - log ρ)."""
    logp = torch.tensor([[-1.0, -2.0]], dtype=torch.float64)
    ratio = torch.tensor([[1.5, 0.8]], dtype=torch.float64)
    inputs = logp, logp - ratio.log(), torch.tensor([0.5], dtype=torch.float64), torch.ones(1, 2)
    rewards = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    loss, gradient = loss_and_gradient(*inputs, method="quatro", group_rewards=rewards, delta=UNIT_RADIUS)
    expected = -1.2 * (0.5 - 0.1823215567939546)
    assert gradient[0].tolist() == pytest.approx([expected] * 2, rel=1e-9)
    assert loss[0].tolist() == pytest.approx([-expected, -2 * expected], rel=1e-9)
