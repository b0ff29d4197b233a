# SPDX-License-Identifier: GPL-2.0-or-later
"""A plugin of the pytest inside a machine: each report leaves it at once, so that those outside have it whatever happens."""
import json


class Teller:
    def __init__(self, config):
        self.config, self.port = config, open("/dev/sk.reports", "wb")

    def tell(self, data):
        self.port.write(json.dumps(data).encode() + b"\n")
        self.port.flush()

    def pytest_runtest_logstart(self, nodeid):
        self.tell({"started": nodeid})

    def pytest_runtest_logreport(self, report):
        self.tell(self.config.hook.pytest_report_to_serializable(config=self.config, report=report))

    def pytest_collectreport(self, report):
        if not report.passed:
            self.pytest_runtest_logreport(report)


def pytest_configure(config):
    config.pluginmanager.register(Teller(config))
