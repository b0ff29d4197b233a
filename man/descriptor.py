# SPDX-License-Identifier: GPL-2.0-or-later
"""Descriptors as the tools print them with --describe: what manual, completions and README are made from."""
import re
import subprocess
from dataclasses import dataclass, field

ESCAPES = {r"\t": "\t", r"\n": "\n", r"\\": "\\"}


class Bad(Exception):
    """An input that cannot be used; the text names it."""


@dataclass
class Option:
    letter: str
    name: str
    arg: str
    group: str
    help: str
    words: list
    complete: str

    @property
    def spellings(self):
        return [f"-{self.letter}"] * bool(self.letter) + [f"--{self.name}"]

    @property
    def optional(self):
        """Its value may be left out, so it follows --name= only."""
        return self.arg.startswith("[") and self.arg.endswith("]")


@dataclass
class Advice:
    means: str
    normal: str
    causes: str
    confirm: str
    remedy: str

    def lines(self):
        """(what, text) of what there is to say."""
        return [(what, text) for what, text in vars(self).items() if text]


@dataclass
class Metric:
    name: str
    type: str
    unit: str
    scope: str
    origin: str
    key: str
    help: str
    advice: Advice


@dataclass
class Event:
    name: str
    help: str
    advice: Advice


@dataclass
class Field:
    name: str
    type: str
    help: str


@dataclass
class Reason:
    name: str
    kernels: str
    advice: Advice


@dataclass
class Probe:
    """A tool. A command of the dispatcher is one, too, without metrics and events."""
    name: str
    prefix: str
    summary: str
    question: str
    source: str
    overhead: str
    needs: str
    absent: str
    options: list = field(default_factory=list)
    metrics: list = field(default_factory=list)
    events: list = field(default_factory=list)
    fields: list = field(default_factory=list)
    reasons: list = field(default_factory=list)
    args: str = "[INTERVAL [COUNT]]"
    argument: str = ""

    @property
    def command(self):
        return f"skoop-{self.name}"

    def of_origin(self, origin):
        return [m for m in self.metrics if m.origin == origin]


def unescape(text):
    return re.sub(r"\\[tn\\]", lambda m: ESCAPES[m.group()], text)


def parse(text, tool, probe=None):
    """The Probe that `text`, the answer to --describe, speaks of; a command's text has no line for the probe."""
    for number, line in enumerate(text.splitlines(), 1):
        kind, *cols = [unescape(c) for c in line.split("\t")]
        try:
            if kind == "probe":
                probe = Probe(*cols)
            elif kind == "option":
                probe.options.append(Option(*cols[:3], cols[3].rstrip(":"), cols[4], cols[5].split(), *cols[6:]))
            elif kind == "metric":
                probe.metrics.append(Metric(*cols[:7], Advice(*cols[7:])))
            elif kind == "event":
                probe.events.append(Event(*cols[:2], Advice(*cols[2:])))
            elif kind == "field":
                probe.fields.append(Field(*cols))
            elif kind == "reason":
                probe.reasons.append(Reason(*cols[:2], Advice(*cols[2:])))
        except (TypeError, IndexError, AttributeError) as err:
            raise Bad(f"{tool}: line {number} of its description: {err}") from err
    if not probe:
        raise Bad(f"{tool}: does not describe itself")
    return probe


def ask(tool, *args):
    """What the tool at this path answers; it must succeed and say something."""
    try:
        done = subprocess.run([tool, *args], capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL,
                              check=False)
    except subprocess.TimeoutExpired as err:
        raise Bad(str(err)) from err
    if done.returncode or not done.stdout:
        raise Bad(f"{tool} {' '.join(args)}: exit status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def probes(build):
    """Every probe built, by name."""
    tools = sorted(p for p in build.glob("skoop-*") if p.is_file() and p.suffix == "")
    if not tools:
        raise Bad(f"{build}: no skoop-* here, build first")
    return [parse(ask(tool, "--describe"), tool.name) for tool in tools]


# What the first argument of a command is, by the word help has for it.
ARGUMENTS = {"P1,P2,...": "probes", "PROBE": "probe", "NAME": "name", "[NAME]": "name", "[PROBE]": "tool"}


def command(name, args="", says=""):
    return Probe(name, "", "", says, "", "", "", "", args=args, argument=ARGUMENTS.get(args.split(" ")[0], ""))


def dispatcher(build, probes):
    """skoop itself, with its options, and its commands with theirs; one that takes probes takes their options."""
    tool, own, commands, text = build / "skoop", command("skoop"), [], ""
    for line in ask(tool, "--describe").splitlines():
        if line.startswith("command\t"):
            commands.append(command(*[unescape(c) for c in line.split("\t")[1:]]))
        else:
            text += f"{line}\n"
    for c in commands:
        if c.argument == "probes":
            c.options = list({o.name: o for p in reversed(probes) for o in reversed(p.options)}.values())[::-1]
        else:
            parse(ask(tool, c.name, "--describe"), f"skoop {c.name}", c)
    return parse(text, "skoop", own), commands


def findings(build):
    """[(name, what it says)] of what the snapshot can find."""
    rows = [re.split("  +", line) for line in ask(build / "skoop", "explain").splitlines()]
    return [(row[0], row[-1]) for row in rows if row[1] == "finding"]


def shared(tools):
    """The options all of them have, and that mean the same in all."""
    return [o for o in tools[0].options if all(o in t.options for t in tools)]
