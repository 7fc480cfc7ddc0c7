"""A page of a search: the trials, the best options, and what each option did."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from graphrec_pt.core.scratch import write_text
from graphrec_pt.recipe.tune import Search, Trial
from graphrec_pt.training.weights import lower_is_better

PAGE = "tune.html"
TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Search of {{ name }}</title>
<style>{{ css | safe }}</style></head><body>
<h1>Search of {{ name }}</h1>
<p class="lead">{{ trials | length }} trials by <b>{{ metric }}</b> of validation; {{ pruned }}
ended early. The test targets were not judged.</p>
<h2>Best</h2>
<table><tbody>{% for path, value in best.values.items() %}
<tr><th>{{ path }}</th><td class="n">{{ value }}</td></tr>{% endfor %}
<tr><th>{{ metric }}, validation</th><td class="n">{{ "%.4f" | format(best.metric) }}</td></tr>
</tbody></table>
<p class="soft">Run it with: graphrec run best.yaml</p>
<h2>What each option did</h2>
{% for path, dots in charts %}<h3>{{ path }}</h3>
<svg viewBox="0 0 420 150" width="420" role="img" aria-label="{{ metric }} by {{ path }}">
<line x1="40" y1="125" x2="410" y2="125" stroke="currentColor" opacity=".3"/>
{% for x, y, label, ended in dots %}<circle cx="{{ x }}" cy="{{ y }}" r="4" fill="var(--c0)"
opacity="{{ 0.9 if ended else 0.3 }}"><title>{{ label }}</title></circle>{% endfor %}
<text x="40" y="143" font-size="11" fill="currentColor">{{ dots[0][2] }}</text>
<text x="410" y="143" font-size="11" text-anchor="end" fill="currentColor">{{
dots[-1][2] }}</text></svg>
{% endfor %}<p class="soft">Higher dots are better. Pale dots ended early.</p>
<h2>Trials</h2><div class="wide"><table><thead><tr><th>#</th>{% for path in paths %}
<th>{{ path }}</th>{% endfor %}<th class="n">{{ metric }}</th><th>state</th></tr></thead><tbody>
{% for trial in ranked %}<tr><th>{{ trial.number }}</th>{% for path in paths %}
<td>{{ trial.values.get(path, "–") }}</td>{% endfor %}
<td class="n">{{ "–" if trial.metric is none else "%.4f" | format(trial.metric) }}</td>
<td>{{ trial.state }}</td></tr>{% endfor %}</tbody></table></div></body></html>
"""


def write_tuning(search: Search) -> Path:
    """Write the page of a search into its folder, and return it."""
    lower = lower_is_better(search.metric)
    paths = list(dict.fromkeys(path for trial in search.trials for path in trial.values))
    ranked = sorted(search.trials, key=lambda trial: _order(trial, lower))
    best = next(trial for trial in ranked if trial.state == "complete")
    css = files("graphrec_pt.serve.report").joinpath("page.css").read_text(encoding="utf-8")
    text = (
        Environment(autoescape=True, undefined=StrictUndefined)
        .from_string(TEMPLATE)
        .render(
            name=search.best.name,
            css=css.replace("</", "<\\/"),
            metric=search.metric,
            trials=search.trials,
            pruned=sum(trial.state == "pruned" for trial in search.trials),
            best=best,
            paths=paths,
            ranked=ranked,
            charts=[(path, _dots(search.trials, path, lower)) for path in paths],
        )
    )
    write_text(search.folder / PAGE, text)
    return search.folder / PAGE


def _order(trial: Trial, lower: bool) -> tuple[bool, float, int]:
    value = trial.metric if trial.metric is not None else 0.0
    return trial.state != "complete", value if lower else -value, trial.number


def _dots(trials: Sequence[Trial], path: str, lower: bool) -> list[tuple[float, float, str, bool]]:
    """Return place, label and end of each trial: values from left to right, the best on top."""
    shown = [
        (trial.values[path], trial.metric, trial.state)
        for trial in trials
        if trial.metric is not None and path in trial.values
    ]
    values = sorted({value for value, *_ in shown}, key=_sortable)
    metrics = [metric for _, metric, _ in shown]
    high, low = max(metrics, default=1.0), min(metrics, default=0.0)
    dots = []
    for value, metric, state in sorted(shown, key=lambda each: _sortable(each[0])):
        x = 40 + 370 * values.index(value) / max(len(values) - 1, 1)
        height = (metric - low) / ((high - low) or 1.0)
        y = 15 + 100 * (height if lower else 1 - height)
        label = f"{value:.4g}" if isinstance(value, float) else str(value)
        dots.append((round(x, 1), round(y, 1), label, state == "complete"))
    return dots


def _sortable(value: object) -> tuple[bool, float, str]:
    number = isinstance(value, int | float)
    return not number, float(value) if isinstance(value, int | float) else 0.0, str(value)
