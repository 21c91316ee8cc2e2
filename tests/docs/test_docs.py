"""The documentation says what the library does: generated pages are current, tables, links, commands and tests hold."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bandpo

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
METHODS, IDENTITIES, RADIUS = (
    (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("methods", "identities", "which-radius")
)
TESTS_OF_IDENTITIES = ROOT / "tests" / "core" / "test_identities.py"


@pytest.fixture(scope="session")
def generate():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fresh(*command):
    """A finished Python process, in which no other test has registered a divergence."""
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_the_page_of_methods_is_current():
    done = fresh("docs/generate.py", "--check")
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_found_and_rewritten(generate, tmp_path, capsys):
    page = tmp_path / "methods.md"
    assert generate.main(["--check", "--out", str(page)]) == 1
    page.write_text("# Methods\n", encoding="utf-8")
    assert generate.main(["--check", "--out", str(page)]) == 1
    assert "stale: run python docs/generate.py" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "# Methods\n"
    assert generate.main(["--out", str(page)]) == 0
    assert generate.main(["--check", "--out", str(page)]) == 0


def test_every_method_has_its_row_with_all_that_the_registry_says():
    code = "import bandpo, json; print(json.dumps(list(bandpo.methods())))"
    names = json.loads(fresh("-c", code).stdout)
    assert len(names) > 25
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", METHODS, re.MULTILINE | re.DOTALL))
    rows = {}
    for family in ("interval", "mask", "gate", "sequence", "bonus"):
        found = re.findall(r"^\| `([a-z0-9-]+)`.*\|$", sections[family.capitalize()], re.MULTILINE)
        lines = [line for line in sections[family.capitalize()].splitlines() if line.startswith("| `")]
        rows |= {name: (family, line) for name, line in zip(found, lines, strict=True)}
    assert sorted(rows) == sorted(names)
    for name, (family, line) in rows.items():
        method = bandpo.get_method(name)
        text = line.replace("\\|", "|")
        assert method.family == family
        assert method.summary in text and f"| {method.anchor} |" in text
        assert f"`{method.formula.replace('`', '')}`" in text
        assert ("(experimental)" in text, "(ours)" in text) == (bool(method.experimental), method.ours)
        for option, default in method.hyperparameters.items():
            assert (f"`{option}=" in text) == (default is not None)
        for number in re.findall(r"arXiv (\d+\.\d+)", method.citation):
            assert f"[arXiv {number}](https://arxiv.org/abs/{number})" in text
        for needed in [*method.inputs, *(["logp_rollout"] if method.anchor == "rollout" else [])]:
            assert f"`{needed}`" in text and f"| `{needed}`" in sections["Inputs"]
        if method.experimental:
            assert f"- `{name}`: {method.experimental}" in sections["Experimental"]


def slugs(page):
    """GitHub's anchors of a page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    relative = [link for link in links if not re.match(r"[a-z]+:", link)]
    for link in relative:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() and target.is_relative_to(ROOT), link
        assert not anchor or anchor in slugs(target), link


def test_identities_name_their_tests_and_every_test_has_its_identity():
    tree = ast.parse(TESTS_OF_IDENTITIES.read_text(encoding="utf-8"))
    tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    assert set(re.findall(r"`(test_\w+)`", IDENTITIES)) - {"test_identities"} == tests


def test_the_rule_without_a_root_runs_as_shown():
    (block,) = re.findall(r"```python\n(.*?)```", IDENTITIES, re.DOTALL)
    logp_old = torch.tensor([[0.1, 0.9, 0.9]]).log()
    logp = torch.tensor([[0.2, 0.99, 0.85]]).log()
    names = {"bandpo": bandpo, "logp_old": logp_old, "logp": logp, "advantages": torch.tensor([[1.0, 1.0, 1.0]])}
    exec(block, names)
    assert names["stopped"].tolist() == [[False, True, False]]


def test_the_table_of_reachable_probabilities_is_what_the_library_gives():
    rows = re.findall(r"^\| (`[^|]*) \| [^|]* \| ([\d., ]+) \|$", IDENTITIES, re.MULTILINE)
    shown = {}
    for regions, values in rows:
        names = [name for name in re.findall(r"`([\w-]+)`", regions) if not name.startswith("dppo")]
        values = values.split(", ")
        if regions.startswith("`dcpo`"):
            names = ["dcpo", "dcpo uncapped"]
        shown |= dict(zip(names, values, strict=True))
    assert len(shown) == 13
    logp = torch.tensor([1e-4], dtype=torch.float64).log()
    for name, value in shown.items():
        options = {"max_ratio": 1e9} if name.endswith("uncapped") else {}
        bound = bandpo.get_method(name.split()[0]).interval(logp, **options).high
        digits = len(value.lstrip("0.").replace(".", ""))
        found = torch.exp(logp + bound).item()
        assert f"{found:.{digits}g}" == f"{float(value):.{digits}g}", name


def test_the_table_of_radii_is_what_band_gives():
    rows = re.findall(r"^\| (0\.\d+) \| (\d.*) \|$", RADIUS, re.MULTILINE)
    assert len(rows) == 5
    for delta, cells in rows:
        for p, cell in zip((0.01, 0.1, 0.5, 0.9), cells.split(" | "), strict=True):
            interval = bandpo.band(torch.tensor([p], dtype=torch.float64).log(), float(delta))
            for shown, bound in zip(cell.split(" .. "), interval.ratio(), strict=True):
                assert abs(float(shown) - bound.item()) <= 0.5001 * 10 ** -len(shown.partition(".")[2])


def crossing(divergence, delta, edge):
    """Largest p at which the upper bound is above a ratio, or for ratios below 1 the lower one below it."""
    p = torch.linspace(1e-4, 0.9999, 99_990, dtype=torch.float64)
    low, high = bandpo.band(p.log(), delta, divergence).ratio()
    return p[high > edge if edge > 1 else low < edge].max().item()


def test_the_crossings_that_the_pages_state():
    assert "above for p < 0.67\nand below for p < 0.75" in RADIUS and "below p = 0.007" in RADIUS
    assert crossing("kl", 0.05, 1.2) == pytest.approx(0.67, abs=0.005)
    assert crossing("kl", 0.05, 0.8) == pytest.approx(0.75, abs=0.005)
    assert "p < 0.0071 (KL), 0.0056 (TV), 0.0006 (χ²)" in IDENTITIES
    assert crossing("kl", 0.05, 10) == pytest.approx(0.0071, abs=6e-5)
    assert crossing("tv", 0.05, 10) == pytest.approx(0.0056, abs=6e-5)
    assert crossing("chi2", 0.05, 10) == pytest.approx(0.0006, abs=6e-5)


MATCH = re.findall(r"^    bandpo (match .*)$", RADIUS, re.MULTILINE)


@pytest.mark.parametrize("arguments", MATCH)
def test_the_match_commands_run_as_typed(arguments, bandpo_here, tmp_path):
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    logp_old = torch.log(torch.rand(8, 32, generator=generator))
    logp = (logp_old + 0.3 * torch.randn(8, 32, generator=generator)).clamp_max(-1e-4)
    batch = {"logp": logp, "logp_old": logp_old, "advantages": torch.randn(8, generator=generator)}
    save_file(batch, tmp_path / "batch.safetensors")
    done = bandpo_here(arguments.split(), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "kl" in done.stdout


def test_the_page_shows_match_for_probabilities_and_for_a_batch():
    assert len(MATCH) == 4 and sum("--batch" in arguments for arguments in MATCH) == 2
