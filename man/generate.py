#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes manual pages, completions and the README's tables from what the built tools say with --describe.

generate.py BUILD TOP RELEASE DATE: BUILD has the tools, TOP the tree to read the hand-written parts from and to write
into. DATE (YYYY-MM-DD) is the release's; SOURCE_DATE_EPOCH goes before it.
"""
import datetime
import os
import pathlib
import sys

import descriptor
import mdoc
import readme
import shells


def date(text):
    """As .Dd wants it; never the clock's."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    day = (datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc) if epoch
           else datetime.datetime.strptime(text, "%Y-%m-%d"))
    months = ("January February March April May June July August September October November December").split()
    return f"{months[day.month - 1]} {day.day}, {day.year}"


def write(path, text):
    """Replaces the file if its text is another one."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        print(f"  WRITE   {path}")


def manuals(top, probes, commands, findings, release, day):
    parts = {name: mdoc.sections((top / f"man/{name}.in").read_text(encoding="utf-8"), f"man/{name}.in")
             for name in ["skoop", *(p.name for p in probes)]}
    names = [p.name for p in probes]
    pages = {p.command: mdoc.probe_page(p, parts[p.name], parts["skoop"], names) for p in probes}
    pages["skoop"] = mdoc.dispatcher_page(parts["skoop"], probes, commands, findings)
    for name, body in pages.items():
        write(top / f"man/{name}.8", mdoc.page(name, day, release, body))
    for path in top.glob("man/*.8"):
        if path.stem not in pages:
            path.unlink()


def completions(top, skoop, probes, commands):
    for name, make in (("skoop.bash", shells.bash), ("_skoop", shells.zsh), ("skoop.fish", shells.fish)):
        template = (top / f"completions/{name}.in").read_text(encoding="utf-8")
        write(top / f"completions/{name}", make(template, skoop, probes, commands))


def main(build, top, release, released):
    build, top = pathlib.Path(build), pathlib.Path(top)
    probes = descriptor.probes(build)
    skoop, commands = descriptor.dispatcher(build, probes)
    manuals(top, probes, commands, descriptor.findings(build), release, date(released))
    completions(top, skoop, probes, commands)
    text = (top / "README.md").read_text(encoding="utf-8")
    write(top / "README.md", readme.fill(text, top, probes))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (descriptor.Bad, OSError) as err:
        sys.exit(f"generate.py: {err}")
