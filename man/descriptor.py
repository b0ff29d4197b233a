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
    args: str = "[INTERVAL [COUNT]]"
    argument: str = ""

    @property
    def command(self):
        return f"skoop-{self.name}"

    def of_origin(self, origin):
        return [m for m in self.metrics if m.origin == origin]


def unescape(text):
    return re.sub(r"\\[tn\\]", lambda m: ESCAPES[m.group()], text)


def parse(text, tool):
    """The Probe that `text`, the answer to --describe, speaks of."""
    probe = None
    for number, line in enumerate(text.splitlines(), 1):
        kind, *cols = [unescape(c) for c in line.split("\t")]
        try:
            if kind == "probe":
                probe = Probe(*cols)
            elif kind == "option":
                probe.options.append(Option(*cols[:5], cols[5].split(), *cols[6:]))
            elif kind == "metric":
                probe.metrics.append(Metric(*cols[:7], Advice(*cols[7:])))
            elif kind == "event":
                probe.events.append(Event(*cols[:2], Advice(*cols[2:])))
            elif kind == "field":
                probe.fields.append(tuple(cols))
        except (TypeError, IndexError, AttributeError) as err:
            raise Bad(f"{tool}: line {number} of its description: {err}") from err
    if not probe:
        raise Bad(f"{tool}: does not describe itself")
    return probe


def ask(tool, *args):
    """What the tool at this path answers; it must succeed and say something."""
    done = subprocess.run([tool, *args], capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL,
                          check=False)
    if done.returncode or not done.stdout:
        raise Bad(f"{tool} {' '.join(args)}: exit status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def probes(build):
    """Every probe built, by name."""
    tools = sorted(p for p in build.glob("skoop-*") if p.is_file() and p.suffix == "")
    if not tools:
        raise Bad(f"{build}: no skoop-* here, build first")
    return [parse(ask(tool, "--describe"), tool.name) for tool in tools]


ARGUMENTS = {"P1,P2,...": "probes", "PROBE": "probe", "NAME": "name", "[PROBE]": "tool"}


def commands(build):
    """The commands of the dispatcher, with their options; `args` is how help shows their arguments."""
    found = []
    for line in ask(build / "skoop", "--describe").splitlines():
        kind, name, args, says = [unescape(c) for c in line.split("\t")]
        if kind != "command":
            raise Bad(f"skoop: does not describe its commands: {line}")
        command = parse(ask(build / "skoop", name, "--describe"), f"skoop {name}")
        command.name, command.question, command.args = name, says, args
        command.argument = ARGUMENTS.get(args.split(" ")[0], "")
        found.append(command)
    return found


def shared(tools):
    """The options all of them have, and that mean the same in all."""
    return [o for o in tools[0].options if all(o in t.options for t in tools)]
