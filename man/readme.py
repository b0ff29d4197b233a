# SPDX-License-Identifier: GPL-2.0-or-later
"""The README's tables, between the marks <!-- NAME --> and <!-- /NAME -->."""
import re

from descriptor import Bad, shared


def cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(c) for c in line) + " |" for line in lines)


def probes_table(probes):
    rows = [[f"`{p.command}`", p.question, p.source, p.overhead] for p in probes]
    return table(["probe", "answers", "source", "overhead"], rows)


def metrics_table(probes):
    rows = [[f"`{m.name}`", m.type, m.unit, m.scope, m.help] for p in probes for m in p.of_origin("contract")]
    return table(["metric", "type", "unit", "scope", "what"], rows)


def events_table(probes):
    rows = [[f"`{e.name}`", f"`{p.command}`", e.help] for p in probes for e in p.events]
    return table(["event", "probe", "what"], rows) if rows else "No probe of this release prints events."


def options_table(probes):
    rows = []
    for o in shared(probes):
        arg = f"[={o.arg[1:-1]}]" if o.optional else f" {o.arg}" if o.letter and o.arg else f"={o.arg}" if o.arg else ""
        rows.append([f"`{', '.join(o.spellings)}{arg}`", o.help])
    return table(["option", ""], rows)


def exit_table(manual):
    """The codes as man/skoop.in has them, plain."""
    section = re.search(r"^\.Sh EXIT STATUS\n(.*?)^\.Sh ", manual, re.S | re.M)[1]
    rows = []
    for line in section.splitlines():
        if line.startswith(".It "):
            rows.append([line[4:], []])
        elif line.startswith(".Fl "):
            rows[-1][1].append(re.sub(r"^\.Fl (\S+) ?", r"`-\1`", line))
        elif line[0] != ".":
            rows[-1][1].append(line)
    return table(["code", "meaning"], [[code, " ".join(text)] for code, text in rows])


def in_order(probes, fixtures):
    """As the contract has them; those it does not have come last."""
    lines = (fixtures / "contract.tsv").read_text().splitlines()
    names = list(dict.fromkeys(line.split("\t")[2] for line in lines if line[0] != "#"))
    return sorted(probes, key=lambda p: names.index(p.name) if p.name in names else len(names))


def fill(text, top, probes):
    probes = in_order(probes, top / "tests/fixtures")
    made = {"probes": probes_table(probes), "metrics": metrics_table(probes), "events": events_table(probes),
            "options": options_table(probes),
            "exit": exit_table((top / "man/skoop.in").read_text(encoding="utf-8"))}
    for name, body in made.items():
        text, n = re.subn(rf"(<!-- {name}: [^>]* -->\n).*?(<!-- /{name} -->)",
                          lambda m, body=body: f"{m[1]}{body}\n{m[2]}", text, flags=re.S)
        if n != 1:
            raise Bad(f"README.md: the marks of the table '{name}' stand in it {n} times")
    return text
