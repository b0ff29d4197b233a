# SPDX-License-Identifier: GPL-2.0-or-later
"""Manual pages: mdoc made from a descriptor and the hand-written parts in man/NAME.in."""
import re
import textwrap

from descriptor import Bad, shared

SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "REQUIREMENTS", "OPTIONS", "METRICS", "EVENTS", "REASONS",
            "OVERHEAD", "ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO"]

# Characters roff would read or typeset otherwise; a command in a text must survive being copied from the page.
CHARACTERS = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", "≥": r"\(>=",
              "≤": r"\(<=", "≠": r"\(!=", "≈": r"\(~~", "→": r"\(->", "×": r"\(mu", "−": r"\-", "–": r"\(en",
              "—": r"\(em", "½": r"\(12", "¼": r"\(14", "µ": r"\(mc"}

ORIGINS = [("contract", None),
           ("extra", "Beyond the contract, always shown."),
           ("all", "Beyond the contract, shown with an option of this probe.")]
SCOPES = {"netns": "per network namespace", "host": "of the whole machine"}
COST = {"procfs": "Reads files below /proc once a round; nothing stays open and nothing is attached to the kernel.",
        "netlink": "Asks the kernel over netlink once a round; nothing stays open and nothing is attached to the kernel.",
        "eBPF": "Programs run inside the kernel at every occurrence, for as long as the probe runs."}


def escape(text):
    """Text for the middle of a line."""
    return "".join(CHARACTERS.get(c, c if c.isascii() else f"\\[u{ord(c):04X}]") for c in text)


def argument(text):
    """Text as one argument of a macro."""
    text = escape(text).replace('"', r"\(dq")
    return f'"{text}"' if " " in text else rf"\&{text}"


def prose(text):
    """Text lines: a line per sentence, none longer than 80 columns, none that roff takes for a request."""
    lines = []
    for sentence in re.split(r"(?<=[.?!]) +(?=[A-Z0-9(])", text.strip()):
        lines += textwrap.wrap(escape(sentence), 78, break_long_words=False, break_on_hyphens=False)
    return [rf"\&{line}" if line[0] in ".'" else line for line in lines]


def full_stop(text):
    return text if text.endswith((".", "?", "!")) else f"{text}."


def flag(option):
    """The argument of .It: -o FORMAT, --output=FORMAT."""
    letter, name = f"Fl {option.letter}", f"Fl -{option.name}"
    if option.optional:
        name += f" Ns Op = Ns Ar {argument(option.arg[1:-1])}"
    elif option.arg:
        letter += f" Ar {argument(option.arg)}"
        name += f" Ns = Ns Ar {argument(option.arg)}"
    return f"{letter} , {name}" if option.letter else name


def options(all_options, level=".Ss"):
    out, group = [], None
    for option in all_options:
        if option.group != group:
            out += [".El"] if group else []
            out += [f"{level} {option.group}", ".Bl -tag -width Ds"]
            group = option.group
        out += [f".It {flag(option)}", *prose(full_stop(option.help))]
    return out + [".El"] if group else out


def advice(texts):
    if not texts.lines():
        return []
    out = ['.Bl -tag -width "confirm" -compact']
    for what, text in texts.lines():
        out += [f".It {what}", *prose(text)]
    return out + [".El"]


def metrics(probe):
    if not probe.metrics:
        return ["This probe prints events only."]
    out = []
    for origin, title in ORIGINS:
        rows = probe.of_origin(origin)
        if not rows:
            continue
        out += [".Pp", *prose(title)] if title else []
        out.append(".Bl -tag -width Ds")
        for m in rows:
            kind = f"{m.type.capitalize()}{f' ({m.unit})' if m.unit else ''}, {SCOPES[m.scope]}"
            out += [f".It Sy {argument(m.name)}", *prose(full_stop(m.help)), ".br",
                    *prose(f"{kind}{f'; {m.key} in the kernel' if m.key else ''}."), *advice(m.advice)]
        out.append(".El")
    return out


def events(probe):
    if not probe.events:
        return ["This probe counts; it prints no events."]
    out = [".Bl -tag -width Ds"]
    for e in probe.events:
        out += [f".It Sy {argument(e.name)}", *prose(full_stop(e.help)), *advice(e.advice)]
    out += [".El", ".Pp", "Every event carries, in this order:", '.Bl -tag -width "protocol" -compact']
    for f in probe.fields:
        out += [f".It {argument(f.name)}", *(prose(full_stop(f"{f.help} ({f.type})")) if f.help else [f.type])]
    return out + [".El"]


def reasons(probe):
    """A line each: what the kernel's names mean. The whole of it is for --explain."""
    if not probe.reasons:
        return []
    out = ["As the kernel names them; which there are differs between kernels.", "What usually causes one and what to do next:",
           f".Dl {probe.command} \\-\\-explain REASON", ".Bl -tag -width Ds"]
    for r in probe.reasons:
        kernels = f" ({r.kernels})" if r.kernels else ""
        out += [f".It {argument(r.name)}", *prose(full_stop(f"{r.advice.means}{kernels}"))]
    return out + [".El"]


def requirements(probe):
    out = prose(f"The values come from {probe.source}.")
    out += prose(full_stop(f"Needs {probe.needs}" if probe.needs else "Needs no capability"))
    out += [".Pp", "Where a privilege is missing, the probe shows what it can read, says on",
            "standard error what it left out, and exits with 3 if that is everything."] if probe.needs else []
    if probe.absent:
        out += [".Pp", "Where the kernel offers none of it, the probe exits with 4 and says:",
                f".Dl {escape(probe.absent)}"]
    return out


def sections(text, name):
    """{title: lines} of a hand-written part."""
    found, title = {}, None
    for line in text.splitlines():
        if line.startswith(".Sh "):
            title = line[4:].strip()
            if title not in SECTIONS or title in found:
                raise Bad(f"{name}: .Sh {title}: unknown, or twice")
            found[title] = []
        elif title:
            found[title].append(line)
        elif line.strip() and not line.startswith('.\\"'):
            raise Bad(f"{name}: text before the first .Sh")
    return found


def page(name, date, release, body):
    """A whole page; body is {title: lines}."""
    out = ['.\\" SPDX-License-Identifier: GPL-2.0-or-later',
           f'.\\" Generated by make docs from the descriptor and man/{name.removeprefix("skoop-")}.in; edit those.',
           f".Dd {date}", f".Dt {name.upper()} 8", f".Os {release}",
           ".nr doc-hyphen-flags 0"]
    for title in SECTIONS:
        out += [f".Sh {title}", *body[title]] if body.get(title) else []
    return "\n".join(out) + "\n"


def see_also(probe, names):
    """skoop(8) and the tools this one's texts send the reader to."""
    text = " ".join(t for m in probe.metrics + probe.events + probe.reasons for _, t in m.advice.lines())
    others = sorted(n for n in names if n != probe.name and re.search(rf"\bskoop-{re.escape(n)}\b", text))
    refs = ["skoop"] + [f"skoop-{n}" for n in others]
    return [f".Xr {r} 8{' ,' if r != refs[-1] else ''}" for r in refs]


def probe_page(probe, own, common, names):
    """{title: lines} of a probe's page: own and common are the hand-written sections of man/PROBE.in and skoop.in."""
    for title in ("DESCRIPTION", "EXAMPLES"):
        if title not in own:
            raise Bad(f"man/{probe.name}.in: no .Sh {title}")
    made = {
        "NAME": [f".Nm {probe.command}", f".Nd {escape(probe.question or probe.summary)}"],
        "SYNOPSIS": [".Nm", ".Op Ar options", ".Op Ar interval Op Ar count"],
        "DESCRIPTION": [],
        "REQUIREMENTS": requirements(probe),
        "OPTIONS": ["Formats, targets and what is common to all probes are explained in", ".Xr skoop 8 .",
                    *options(probe.options)],
        "METRICS": ["The labels", ".Li target_pod , target_namespace", "and", ".Li target_node",
                    "come first on every sample.", *metrics(probe)],
        "EVENTS": events(probe),
        "REASONS": reasons(probe),
        "OVERHEAD": prose(f"{probe.overhead}. {COST[probe.source]}"),
        "ENVIRONMENT": ["See", ".Xr skoop 8 ."],
        "FILES": ["See", ".Xr skoop 8 ."],
        "EXIT STATUS": common["EXIT STATUS"],
        "EXAMPLES": [],
        "SEE ALSO": see_also(probe, names),
    }
    return {title: made[title] + own.get(title, []) for title in SECTIONS}


def arguments(args):
    """P1,P2,... [OPTIONS] as macros."""
    words = [f"Op Ar {argument(w[1:-1])}" if w.startswith("[") else f"Ar {argument(w)}" for w in args.split()]
    return "".join(f" {w}" for w in words)


def dispatcher_page(own, probes, commands, findings):
    """{title: lines} of skoop(8): man/skoop.in with what is generated in place of its marks."""
    missing = [title for title in SECTIONS if title not in own and title != "REASONS"]
    if missing:
        raise Bad(f"man/skoop.in: no .Sh {missing[0]}")
    refs = [p.command for p in probes]
    made = {
        "@SYNOPSIS@": [line for c in commands for line in (".Nm", f".Cm {c.name}{arguments(c.args)}")],
        "@COMMANDS@": [line for c in commands
                       for line in (f".It Cm {c.name}{arguments(c.args)}", *prose(full_stop(c.question.capitalize())))],
        "@PROBES@": [line for p in probes for line in (f".It {argument(p.name)}", *prose(p.question))],
        "@OPTIONS@": options(shared(probes)),
        "@COMMAND_OPTIONS@": command_options(probes, commands),
        "@FINDINGS@": [line for name, says in findings for line in (f".It {argument(name)}", *prose(says))],
        "@SEE_ALSO@": [f".Xr {r} 8{' ,' if r != refs[-1] else ''}" for r in refs],
    }
    return {title: [line for text in own[title] for line in made.get(text, [text])] for title in SECTIONS if title in own}


def command_options(probes, commands):
    """What the commands take: their own in full, by name where it is the probes'."""
    common, out = shared(probes), []
    for c in commands:
        mine = [o for o in c.options if o not in common]
        names = ", ".join(o.spellings[0] for o in c.options if o in common)
        out += [f".Ss {c.name}"]
        out += prose(f"Of the above: {names}.") if names else []
        out += [".Bl -tag -width Ds", *(line for o in mine for line in (f".It {flag(o)}", *prose(full_stop(o.help)))),
                ".El"] if mine else []
    return out
